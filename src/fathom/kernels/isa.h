// Which instructions our kernels use. They are compiled once per set; the best one that this
// processor has is chosen when the first kernel runs.
#pragma once

#include <vector>

namespace fathom {

enum class Isa {
  kBaseline,  // what the compiler takes for granted
  kAvx2,      // with FMA
  kAvx512,    // F, BW, DQ, VL
};

const char* isa_name(Isa isa);  // "baseline", "avx2", "avx512"

// Those that this build and this processor both have, the best one last.
std::vector<Isa> usable_isas();

// The best one, or what the environment variable FATHOM_ISA names. Throws Error(kUsage) if it names
// one that is not usable.
Isa chosen_isa();

// FATHOM_ISA is "none": whoever has a plain definition beside a kernel takes that.
bool plain_is_asked();

// For tests and benchmarks; not while a kernel runs.
void choose_isa(Isa isa);

}  // namespace fathom
