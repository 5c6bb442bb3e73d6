# SPDX-License-Identifier: MIT
# Writes the files of the page into a C source, each as it is and packed by gzip: page_files.h says what of each.
#
#   cmake -DFOLDER=server/http/page -DFILES=index.html,page.css -DGZIP=/bin/gzip -DOUTPUT=page_files.c -P embed.cmake
cmake_minimum_required(VERSION 3.25)
string(REPLACE "," ";" FILES "${FILES}")

set(TYPE_.html "text/html; charset=utf-8")
set(TYPE_.css "text/css; charset=utf-8")
set(TYPE_.js "text/javascript; charset=utf-8")
set(TYPE_.svg "image/svg+xml")

# add_bytes(path name): an array of what is in a file.
function(add_bytes path name)
  file(READ ${path} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  file(APPEND ${OUTPUT}.new "static const unsigned char ${name}[] = {${bytes}};\n")
endfunction()

file(WRITE ${OUTPUT}.new "/* Made by server/http/page/embed.cmake. */\n#include \"server/http/page_files.h\"\n")
set(number 0)
set(rows "")
foreach(file IN LISTS FILES)
  get_filename_component(extension ${file} LAST_EXT)
  if(NOT DEFINED TYPE_${extension})
    message(FATAL_ERROR "${file}: embed.cmake does not know the content type of ${extension}")
  endif()
  execute_process(COMMAND ${GZIP} -9nc ${FOLDER}/${file} OUTPUT_FILE ${OUTPUT}.gz COMMAND_ERROR_IS_FATAL ANY)
  add_bytes(${FOLDER}/${file} plain_${number})
  add_bytes(${OUTPUT}.gz packed_${number})
  file(SHA256 ${FOLDER}/${file} hash)
  string(SUBSTRING ${hash} 0 16 hash)
  string(APPEND rows "    {\"${file}\", \"${TYPE_${extension}}\", \"W/\\\"${hash}\\\"\",\n"
                     "     {plain_${number}, sizeof plain_${number}}, {packed_${number}, sizeof packed_${number}}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(APPEND ${OUTPUT}.new "const struct page_file page_files[] = {\n${rows}};\nconst size_t page_file_count = ${number};\n")
file(REMOVE ${OUTPUT}.gz)
file(RENAME ${OUTPUT}.new ${OUTPUT})
