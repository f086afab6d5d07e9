// Who proposes the next tokens, for a pass to check several at once. Torch-free.
#pragma once

namespace fathom {

enum class Draft {
  kNone,   // nobody: a pass a token
  kShift,  // the model itself, told by shift tokens to look 2, 3, ... tokens ahead
  kExit,   // the model's first readout, token by token; the last one checks
};

}  // namespace fathom
