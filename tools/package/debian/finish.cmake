# SPDX-License-Identifier: MIT
# Run by cpack before the package is made: what Debian wants compressed is compressed, so that the same files give the same
# bytes.
set(root ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
configure_file(${CMAKE_CURRENT_LIST_DIR}/changelog ${root}/usr/share/doc/forebay/changelog COPYONLY)
file(GLOB pages ${root}/usr/share/man/man*/*.[1-9])
execute_process(COMMAND gzip -9n ${root}/usr/share/doc/forebay/changelog ${pages} COMMAND_ERROR_IS_FATAL ANY)
