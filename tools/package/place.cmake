# SPDX-License-Identifier: MIT
# Run by cmake --install: fills in where the program and its configuration are, and puts the files of the service in place.
# PACKAGE_SOURCE, PACKAGE_BUILD and BINARY_FOLDER come from CMakeLists.txt.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(configuration_folder /etc/forebay)
else()
  set(configuration_folder ${CMAKE_INSTALL_PREFIX}/etc/forebay)
endif()
set(FOREBAY_BINARY ${CMAKE_INSTALL_PREFIX}/${BINARY_FOLDER}/forebay)
set(FOREBAY_CONFIG ${configuration_folder}/forebay.conf)

configure_file(${PACKAGE_SOURCE}/forebay.service.in ${PACKAGE_BUILD}/forebay.service @ONLY)
file(INSTALL DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system TYPE FILE
     FILES ${PACKAGE_BUILD}/forebay.service ${PACKAGE_SOURCE}/forebay.socket)
file(INSTALL DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/sysusers.d TYPE FILE
     FILES ${PACKAGE_SOURCE}/forebay.sysusers RENAME forebay.conf)

if(EXISTS $ENV{DESTDIR}${FOREBAY_CONFIG})
  message(STATUS "Kept: $ENV{DESTDIR}${FOREBAY_CONFIG}")
else()
  file(INSTALL DESTINATION ${configuration_folder} TYPE FILE FILES ${PACKAGE_SOURCE}/forebay.conf)
endif()
