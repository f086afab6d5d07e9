# Everything comes from the distribution's packages (`quickstart` lists them).
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(SQLite3 REQUIRED)

pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
add_library(fathom_xxhash INTERFACE)
target_link_libraries(fathom_xxhash INTERFACE PkgConfig::XXHASH)

if(FATHOM_ENGINE)
  # Torch_DIR (or CMAKE_PREFIX_PATH) picks another libtorch, a CUDA build included. Without it the
  # distribution's is used directly: its CMake package would ask for two dozen unrelated -dev
  # packages.
  add_library(fathom_torch INTERFACE)
  if(Torch_DIR)
    find_package(Torch REQUIRED)
    target_link_libraries(fathom_torch INTERFACE ${TORCH_LIBRARIES})
    target_include_directories(fathom_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
    separate_arguments(torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
    target_compile_options(fathom_torch INTERFACE ${torch_flags})
  else()
    find_path(TORCH_INCLUDE torch/csrc/autograd/variable.h REQUIRED)
    find_library(TORCH_CPU_LIBRARY torch_cpu REQUIRED)
    find_library(C10_LIBRARY c10 REQUIRED)
    target_include_directories(fathom_torch SYSTEM INTERFACE
      ${TORCH_INCLUDE} ${TORCH_INCLUDE}/torch/csrc/api/include)
    target_link_libraries(fathom_torch INTERFACE ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})
  endif()

  # Ranks that train together talk by libtorch's c10d over gloo, whose headers are a package of their
  # own. Without them the program says that it was built without.
  add_library(fathom_gloo INTERFACE)
  find_path(GLOO_INCLUDE gloo/algorithm.h)
  find_library(GLOO_LIBRARY gloo)
  if(GLOO_INCLUDE AND GLOO_LIBRARY AND NOT Torch_DIR)  # another libtorch has a gloo of its own
    target_compile_definitions(fathom_gloo INTERFACE USE_C10D_GLOO)
    target_include_directories(fathom_gloo SYSTEM INTERFACE ${GLOO_INCLUDE})
    target_link_libraries(fathom_gloo INTERFACE ${GLOO_LIBRARY})
  else()
    message(STATUS "libgloo-dev is missing, or libtorch is not the distribution's: this program trains with one process alone")
  endif()

  # One OpenMP pool for ATen, BLAS and our kernels: name the OpenMP flavour of OpenBLAS ahead of the
  # default one. Both files, or libtorch's liblapack brings the pthread flavour's pool back in.
  add_library(fathom_blas INTERFACE)
  find_library(OPENBLAS_OPENMP_BLAS NAMES libblas.so.3 PATH_SUFFIXES openblas-openmp
    PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
  find_library(OPENBLAS_OPENMP_LAPACK NAMES liblapack.so.3 PATH_SUFFIXES openblas-openmp
    PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
  if(OPENBLAS_OPENMP_BLAS AND OPENBLAS_OPENMP_LAPACK AND NOT Torch_DIR)
    get_filename_component(openblas_folder ${OPENBLAS_OPENMP_BLAS} DIRECTORY)
    target_link_libraries(fathom_blas INTERFACE
      -Wl,--no-as-needed ${OPENBLAS_OPENMP_BLAS} ${OPENBLAS_OPENMP_LAPACK} -Wl,--as-needed
      -Wl,-rpath,${openblas_folder})
  endif()
endif()

if(FATHOM_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
endif()
