// In which numbers something is computed, kept or sent.
#pragma once

namespace fathom {

enum class Precision { kFloat32, kBFloat16, kFloat16 };

}  // namespace fathom
