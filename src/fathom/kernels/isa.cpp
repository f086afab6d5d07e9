#include "fathom/kernels/isa.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/kernels/kernel_table.h"

namespace fathom {
namespace baseline {
extern const KernelTable table;
}
#ifdef FATHOM_X86_KERNELS
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

constexpr Isa kAll[] = {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512};

bool is_usable(Isa isa) {
#ifdef FATHOM_X86_KERNELS
  // The functions ask whether the system saves the registers, too.
  if (isa == Isa::kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::kAvx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  return isa == Isa::kBaseline;
}

const KernelTable& table_of(Isa isa) {
#ifdef FATHOM_X86_KERNELS
  if (isa == Isa::kAvx2) return avx2::table;
  if (isa == Isa::kAvx512) return avx512::table;
#endif
  (void)isa;
  return baseline::table;
}

Isa first_choice() {
  const std::vector<Isa> usable = usable_isas();
  const char* asked = std::getenv("FATHOM_ISA");
  if (asked == nullptr || *asked == '\0') return usable.back();
  if (plain_is_asked()) return usable.front();
  std::vector<std::string> names = {"none"};
  for (const Isa isa : usable) {
    names.push_back(isa_name(isa));
    if (names.back() == asked) return isa;
  }
  misuse(fmt::format("FATHOM_ISA is {}, which this processor or this build does not have",
                     in_quotes(asked)),
         suggestion(asked, names, "fathom doctor"));
}

std::atomic<const KernelTable*>& chosen_table() {
  static std::atomic<const KernelTable*> table{&table_of(first_choice())};
  return table;
}

}  // namespace

const char* isa_name(Isa isa) {
  constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};
  return kNames[static_cast<int>(isa)];
}

bool plain_is_asked() {
  const char* asked = std::getenv("FATHOM_ISA");
  return asked != nullptr && std::string(asked) == "none";
}

std::vector<Isa> usable_isas() {
  std::vector<Isa> usable;
  std::copy_if(std::begin(kAll), std::end(kAll), std::back_inserter(usable), is_usable);
  return usable;
}

Isa chosen_isa() {
  for (const Isa isa : kAll)
    if (is_usable(isa) && &table_of(isa) == chosen_table()) return isa;
  return Isa::kBaseline;
}

void choose_isa(Isa isa) {
  if (!is_usable(isa)) fail(fmt::format("this processor has no {}", isa_name(isa)));
  chosen_table() = &table_of(isa);
}

const KernelTable& kernels() {
  return *chosen_table().load(std::memory_order_relaxed);
}

}  // namespace fathom
