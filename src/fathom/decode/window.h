// What of a long text a model sees, when its positions are learned and end at block_size.
// Torch-free.
#pragma once

#include <cstdint>

namespace fathom {

enum class Overflow {
  kRecompute,  // slide by a token: positions shift, so everything is computed anew each time
  kHalf,       // drop half of the window and compute the rest anew, once in so many tokens
  kStop,       // the text ends
};

struct Window {
  int64_t pinned = 0;    // first tokens of a text that always stay, e.g. a heading
  int64_t capacity = 0;  // tokens seen at once, more than `pinned`
  Overflow overflow = Overflow::kRecompute;

  // Of a text of `length` tokens the first `pinned` are seen and those from here on. With kStop,
  // the length must not exceed the capacity.
  int64_t start(int64_t length) const;
  // How many tokens may follow a text of `length` tokens before its window moves or ends.
  int64_t room(int64_t length) const;
};

// Throws Error(kUsage) unless 0 <= pinned < capacity <= block_size.
void validate(const Window& window, int64_t block_size);

}  // namespace fathom
