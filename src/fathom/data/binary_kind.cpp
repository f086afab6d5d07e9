#include "fathom/data/binary_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace fathom {
namespace {

constexpr size_t kPieces = 32, kPieceBytes = 4096;
constexpr size_t kPlaces = 8;  // of a number's bytes: at most 64 bits

// Bytes that stand for nothing in any encoding of texts. Not among them: blanks, bells, backspaces,
// escapes, ISO 2022's shifts, Ctrl-Z, and the four separators.
bool is_unused(unsigned char c) {
  return c < 0x07 || (c >= 0x10 && c < 0x1a);
}

struct Counts {
  size_t zeros = 0, neighbours = 0;  // of zeros, those that follow one
  size_t others = 0, kinds = 0;      // unused ones that are not zero
  std::array<size_t, kPlaces> zeros_at{};

  explicit Counts(std::string_view sample) {
    std::array<bool, 32> met{};
    unsigned char before = 1;
    for (size_t i = 0; i < sample.size(); ++i) {
      const auto c = static_cast<unsigned char>(sample[i]);
      if (c == 0) {
        ++zeros;
        neighbours += before == 0;
        ++zeros_at[i % kPlaces];
      } else if (is_unused(c)) {
        ++others;
        met[c] = true;
      }
      before = c;
    }
    kinds = static_cast<size_t>(std::count(met.begin(), met.end(), true));
  }
};

// Half of all numbers or more leave the same bytes zero, and others not: half of each number's
// bytes or more. Texts with zeros between have one or two in eight, where all are of one length.
bool is_numbers(const Counts& counts, size_t bytes) {
  if (bytes < 16) return false;
  const auto [few, many] = std::minmax_element(counts.zeros_at.begin(), counts.zeros_at.end());
  const auto often = std::count_if(counts.zeros_at.begin(), counts.zeros_at.end(),
                                   [&](size_t zeros) { return zeros * kPlaces * 2 >= bytes; });
  return often * 2 >= ptrdiff_t(kPlaces) && *few * 2 <= *many;
}

}  // namespace

std::string spread_sample(std::string_view text) {
  if (text.size() <= kPieces * kPieceBytes) return std::string(text);
  std::string sample;
  sample.reserve(kPieces * kPieceBytes);
  const size_t last = text.size() - kPieceBytes;
  for (size_t i = 0; i < kPieces; ++i) {
    size_t at = last / (kPieces - 1) * i;
    if (i + 1 == kPieces) at = last;
    sample += text.substr(at / kPlaces * kPlaces, kPieceBytes);  // numbers keep their places
  }
  return sample;
}

std::string binary_kind(std::string_view sample) {
  const size_t n = sample.size();
  const Counts counts(sample);
  // Random bytes have 6 % and all 16 kinds; texts few, or the same ones again and again.
  const bool scattered = counts.kinds >= 6 && 50 * counts.others >= n;
  // Between texts zeros stand alone, or two of them behind a list.
  const bool filled = counts.zeros >= 8 && 10 * counts.zeros >= n &&
                      (2 * counts.neighbours > counts.zeros || 50 * counts.others >= n);
  const bool numbers = is_numbers(counts, n);
  if (!scattered && !filled && !numbers) return "";
  if (numbers) return "numbers of two or more bytes, such as token ids";
  if (counts.zeros == n) return "zeros alone";
  return fmt::format("binary data ({:.0f} % of it are control characters)",
                     std::ceil(100.0 * static_cast<double>(counts.zeros + counts.others) /
                               static_cast<double>(n)));
}

}  // namespace fathom
