# SPDX-License-Identifier: MIT
# Fills the tables of a manual page:
#   cmake -D FOREBAY=build/debug/forebay -D IN=docs/man/forebay.8.in -D OUT=forebay.8 -P docs/man/fill.cmake
# Each line "@TABLE name@" is replaced by what `forebay --help=mdoc:name` prints.
file(READ ${IN} page)
string(REGEX MATCHALL "@TABLE [a-z-]+@" places "${page}")
foreach(place IN LISTS places)
  string(REGEX REPLACE "@TABLE (.*)@" "\\1" name ${place})
  execute_process(COMMAND ${FOREBAY} --help=mdoc:${name} OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "${place}\n" "${table}" page "${page}")
endforeach()
file(WRITE ${OUT} "${page}")
