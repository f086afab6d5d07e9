// One pass over a text: is it UTF-8, and which characters does it have?
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace fathom {

struct TextScan {
  std::optional<uint64_t> invalid_at;  // offset of the first byte that is not UTF-8
  uint64_t characters = 0;             // code points before that (or the end)
  std::vector<uint32_t> alphabet;      // the distinct ones, in order
};

// `progress` is told the bytes done, every MiB.
TextScan scan_text(std::string_view text, const std::function<void(uint64_t)>& progress = {});

// Offset of the first byte after `characters` code points; the text is UTF-8 and has that many.
uint64_t utf8_offset(std::string_view text, uint64_t characters);

}  // namespace fathom
