// Numbers of two bytes as floats, exactly.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace fathom {

inline float float_of_bfloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction.
inline float float_of_half(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1Fu, fraction = bits & 0x3FFu;
  if (exponent == 0) {  // 0, or below the normal numbers
    const float value = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -value : value;
  }
  const uint32_t wide =
      sign | (exponent == 31 ? 0xFFu << 23 : (exponent + 112) << 23) | fraction << 13;
  float value = 0;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace fathom
