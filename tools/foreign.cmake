# SPDX-License-Identifier: MIT
# Toolchain file: builds for FOREBAY_MACHINE (Debian's name for it) on another machine, with Debian's cross compiler and, in
# FOREIGN_ROOT, Debian's libraries for it (unpack_packages of tools/setup.sh unpacks them there). What is built is run by
# qemu-user-static.
set(CMAKE_SYSTEM_NAME Linux)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES FOREBAY_MACHINE FOREIGN_ROOT)

# Of each, under a name that no if() takes for one of its words: the processor, and what Debian calls its compiler, its folders of
# libraries and its emulator.
set(machine_arm64 aarch64 aarch64-linux-gnu aarch64-linux-gnu aarch64)
set(machine_i386 i686 i686-linux-gnu i386-linux-gnu i386)
set(machine_s390x s390x s390x-linux-gnu s390x-linux-gnu s390x)
list(GET machine_${FOREBAY_MACHINE} 0 CMAKE_SYSTEM_PROCESSOR)
list(GET machine_${FOREBAY_MACHINE} 1 triple)
list(GET machine_${FOREBAY_MACHINE} 2 libraries)
list(GET machine_${FOREBAY_MACHINE} 3 emulated)
set(CMAKE_C_COMPILER ${triple}-gcc)

set(FOREIGN_ROOT "${CMAKE_CURRENT_LIST_DIR}/../build/${FOREBAY_MACHINE}-root" CACHE PATH "Where Debian's libraries for it are")
get_filename_component(CMAKE_SYSROOT "${FOREIGN_ROOT}" REALPATH)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} "${CMAKE_SYSROOT}/usr/lib/${libraries}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${emulated}-static -L "${CMAKE_SYSROOT}")
