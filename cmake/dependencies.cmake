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
  # Torch_DIR picks another libtorch, a CUDA build included: the folder of its TorchConfig.cmake. Without
  # it the distribution's is used, whose CMake package would ask for two dozen unrelated -dev packages;
  # that of a CUDA build asks for nvcc and CUDA's headers, of which nothing here is used. So libraries
  # are taken from beside it where they lie as in libtorch's archives and in pip's torch.
  add_library(fathom_torch INTERFACE)
  get_filename_component(torch_root "${Torch_DIR}/../../.." ABSOLUTE)
  if(Torch_DIR AND NOT EXISTS "${Torch_DIR}/TorchConfig.cmake")
    message(FATAL_ERROR "Torch_DIR: ${Torch_DIR} has no TorchConfig.cmake; it is <libtorch>/share/cmake/Torch")
  endif()
  if(Torch_DIR)
    file(STRINGS "${Torch_DIR}/TorchConfig.cmake" old_abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
    if(old_abi)
      message(FATAL_ERROR "Torch_DIR: this libtorch was built with the C++ ABI from before C++11, which the "
        "distribution's libraries do not have: take the archive named cxx11-abi, or pip's torch from 2.7 on")
    endif()
  endif()
  if(Torch_DIR AND EXISTS "${torch_root}/lib/libtorch_cpu.so")
    target_include_directories(fathom_torch SYSTEM INTERFACE
      ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
    # Nothing of ours names a function of the CUDA libraries: they register theirs when they are loaded.
    set(torch_libraries ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so)
    foreach(library torch_cuda c10_cuda)
      if(EXISTS "${torch_root}/lib/lib${library}.so")
        list(APPEND torch_libraries ${torch_root}/lib/lib${library}.so)
      endif()
    endforeach()
    # (One word: cmake leaves out flags that it has seen.) What those need in turn, CUDA's own libraries,
    # they find by themselves.
    list(JOIN torch_libraries "," torch_libraries)
    target_link_libraries(fathom_torch INTERFACE
      -Wl,--push-state,--no-as-needed,${torch_libraries},--pop-state,--allow-shlib-undefined)
    target_link_options(fathom_torch INTERFACE -Wl,-rpath,${torch_root}/lib)
  elseif(Torch_DIR)
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
  # own. Without them the program says that it was built without. They fit Debian's libtorch alone:
  # another one has a gloo of its own inside.
  add_library(fathom_gloo INTERFACE)
  find_path(GLOO_INCLUDE gloo/algorithm.h)
  find_library(GLOO_LIBRARY gloo)
  if(Torch_DIR)
    message(STATUS "another libtorch than Debian's: this program trains with one process alone")
  elseif(GLOO_INCLUDE AND GLOO_LIBRARY)
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
  # pip's torch brings an OpenMP of its own: named ahead of the compiler's, it is the one that all take.
  if(Torch_DIR)
    file(GLOB torch_openmp ${torch_root}/lib/libgomp-*.so* ${torch_root}/../torch.libs/libgomp-*.so*)
    if(torch_openmp)
      list(GET torch_openmp 0 torch_openmp)
      target_link_options(fathom_blas INTERFACE
        -Wl,--push-state,--no-as-needed,${torch_openmp},--pop-state)
    endif()
  endif()
endif()

if(FATHOM_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
endif()
