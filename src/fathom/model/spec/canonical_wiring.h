// Wirings that say the same in other words have one canonical form: however sums and products are
// ordered, statements split, temporaries named, numbers written and parts numbered. Torch-free.
//
// What reads the same computes the same, up to rounding and with parts exchanged alike. The reverse
// holds for what follows from this: sums and products are commutative and associative, y is the
// change of r, and factors of numbers go through sums and products; sums that are multiplied are
// not multiplied out. Numbers count to 15 digits. Calls are never merged or repeated. A wiring that
// is too large to be looked into (some hundred operations) is its own form.
#pragma once

#include <string>

#include "fathom/model/spec/wiring_graph.h"

namespace fathom {

// `r = t1 + M(N(t1))` after `t1 = r + A(n)`: what is read several times has a temporary. y is
// assigned only if it is read, by this wiring or (`y_is_read`) by another one of the plan, and is
// not the change of r anyway. All three throw as check_wiring() does.
Wiring canonical(const Wiring& wiring, bool y_is_read = false);

// 16 hexadecimal digits: XXH3 of the canonical form's text.
std::string wiring_hash(const Wiring& wiring, bool y_is_read = false);

// The canonical form's text, but parts keep their numbers: equal for wirings that compute the same
// of the same weights by name.
std::string text_by_part(const Wiring& wiring, bool y_is_read = false);

// The text of the canonical form without the factors that a part's own weights can take up: equal
// for wirings that can compute the same functions, by other weights and another way of training.
std::string equivalence_text(const Wiring& wiring, const OutputScales& scales = {},
                             bool y_is_read = false);

}  // namespace fathom
