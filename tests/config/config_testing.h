// What the tests of configuration share.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>
#include <string>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom::testing {

// The Error that `action` throws; a failed test and an empty one if it throws none.
template <class Action>
Error refusal_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was refused";
  return Error(ErrorKind::kFailure, "", "");
}

// Any double but NaN: plain ones, and any pattern of bits.
inline double any_double() {
  if (*rc::gen::arbitrary<bool>()) return *rc::gen::arbitrary<double>();
  const auto bits = *rc::gen::arbitrary<uint64_t>();
  double x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return std::isnan(x) ? 0.0 : x;
}

// Well-formed text with what breaks writers: quotes, backslashes, control characters, comment
// signs, other planes, and words that mean something elsewhere.
inline std::string any_text() {
  if (*rc::gen::inRange(0, 4) == 0)
    return *rc::gen::element<std::string>("none", "None", "null", "true", "1e3", "", "[1]", "a = 1",
                                          "\"\"\"", "'''", "\\", "#", " ", "\n[section]\nn = 1");
  std::string text;
  for (int n = *rc::gen::inRange(0, 12); n > 0; --n) {
    uint32_t code = *rc::gen::weightedOneOf<uint32_t>(
        {{3, rc::gen::inRange<uint32_t>(0, 0x80)},
         {1, rc::gen::inRange<uint32_t>(0x80, 0x110000)},
         {1, rc::gen::element<uint32_t>('"', '\'', '\\', '\n', '\r', '\t', '#', 0x7F, 0x85, 0xFEFF,
                                        0x2028)}});
    if (code >= 0xD800 && code <= 0xDFFF) code = 0xFFFD;
    utf8_append(text, code);
  }
  return text;
}

}  // namespace fathom::testing
