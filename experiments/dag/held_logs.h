// What power's operands are held to in the sign/log domain, beside kMostBase and kMostExponent of
// fathom/data/numbers/program.h.
#pragma once

namespace fathom::dag {

inline constexpr double kLogOfMostBase = 6.907755278982137;  // ln kMostBase
// Of the exponent y, ln|y|: far beyond kMostExponent, and not beyond single precision.
inline constexpr double kMostLogOfExponent = 60;

}  // namespace fathom::dag
