# tai_layer(NAME LIBS …): the static library tai_NAME of all *.c below NAME/. Its headers are included as "NAME/x.h" and
# reach only those who link it: each layer has an include root of its own that holds a link to that one folder.
function(tai_layer name)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/*.c)
  add_library(tai_${name} STATIC ${sources})
  set(root ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${root}/${name} SYMBOLIC)
  target_include_directories(tai_${name} PUBLIC ${root})
  target_link_libraries(tai_${name} PUBLIC ${ARG_LIBS} Threads::Threads PRIVATE tai_flags)
endfunction()
