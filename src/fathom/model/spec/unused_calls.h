// What a wiring has in vain: norms that no result is made of, and (remarks() of wiring_config.h)
// calls whose values only a block after the last one would read. Torch-free.
#pragma once

#include "fathom/model/spec/wiring_config.h"

namespace fathom {

// Who reads n, the norm at a block's door: its result, only who observes the walk, or nobody.
// Queries that attn_scores do not compare with keys are no readers. Throws as typed_wiring() does.
enum class NormReader { kNobody, kProbe, kBlock };
NormReader reader_of_n(const WiringConfig& config);
// Whether r, or a y that is read, is made of pos; queries as above.
bool reads_pos(const WiringConfig& config);

}  // namespace fathom
