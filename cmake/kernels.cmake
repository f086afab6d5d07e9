# The files of kernels/simd, compiled once per instruction set; kernels/isa.cpp chooses at run time.
find_package(OpenMP COMPONENTS CXX)
if(OpenMP_CXX_FOUND AND NOT FATHOM_SANITIZE)
  target_link_libraries(fathom_kernels PRIVATE OpenMP::OpenMP_CXX)
else()
  target_compile_options(fathom_kernels PRIVATE -Wno-unknown-pragmas)  # one thread
endif()

file(GLOB simd_sources CONFIGURE_DEPENDS src/fathom/kernels/simd/*.cpp)
function(fathom_isa name)
  set(library fathom_kernels_${name})
  add_library(${library} OBJECT ${simd_sources})
  fathom_unity(${library} FALSE)
  target_include_directories(${library} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(${library} PRIVATE FATHOM_ISA=${name})
  # No contraction: simd/vector.h has fused multiply-adds, and says where. -Wno-psabi: vectors are
  # never passed between files.
  target_compile_options(${library} PRIVATE -O3 -ffp-contract=off -fno-math-errno
                         -fno-trapping-math -Wno-psabi ${ARGN})
  target_link_libraries(${library} PRIVATE fathom_warnings)
  target_sources(fathom_kernels PRIVATE $<TARGET_OBJECTS:${library}>)
endfunction()

fathom_isa(baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  target_compile_definitions(fathom_kernels PRIVATE FATHOM_X86_KERNELS)
  fathom_isa(avx2 -mavx2 -mfma)
  fathom_isa(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
endif()
