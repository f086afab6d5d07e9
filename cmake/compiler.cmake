# C++17 because libtorch 1.13's headers are.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -O2: the hot loops live in libtorch and in kernels/, which choose their own flags.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE ccache)
# Paths below this folder count as relative ones: a second clone finds what the first has compiled.
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

# Files that are compiled together share their unnamed namespace: what one has there may be a local
# name of another.
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(shadow -Wshadow=local)
else()
  set(shadow -Wshadow)
endif()
# Warnings are errors where the compiler is one that `./check` knows: a newer one, or a newer libtorch's
# deprecations, must not keep anybody from building.
set(known_compiler OFF)
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13) OR
   (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15))
  set(known_compiler ON)
endif()
option(FATHOM_WERROR "warnings are errors" ${known_compiler})
add_library(fathom_warnings INTERFACE)
target_compile_options(fathom_warnings INTERFACE
  -Wall -Wextra $<$<BOOL:${FATHOM_WERROR}>:-Werror> ${shadow} -Wnon-virtual-dtor
  -Woverloaded-virtual -Wimplicit-fallthrough)

# Whether a target's files are compiled several at a time, where CMAKE_UNITY_BUILD says so. GCC takes
# a class with a member whose type is of an unnamed namespace for one of a header then.
function(fathom_unity target together)
  if(NOT together)
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
  elseif(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
endfunction()

if(FATHOM_SANITIZE)
  # The assertions of libstdc++ find an index that is out of range inside a large enough allocation.
  add_compile_options(-fsanitize=${FATHOM_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=${FATHOM_SANITIZE})
endif()
if(FATHOM_FUZZ AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "FATHOM_FUZZ needs clang++, which has libFuzzer: -DCMAKE_CXX_COMPILER=clang++")
endif()
