#include "fathom/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "fathom/base/utf8.h"
#include "fathom/base/visible.h"

namespace fathom {

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

namespace {

// Edit distance with swaps of neighbours (optimal string alignment), by the last three rows of its
// table.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

size_t allowed_edits(std::string_view a, std::string_view b) {
  return std::max<size_t>(1, std::max(a.size(), b.size()) / 3);
}

constexpr size_t kLongestList = 12;  // beyond this a list of all candidates helps nobody

}  // namespace

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::string::npos;
  for (const std::string& candidate : candidates) {
    const size_t longer = std::max(name.size(), candidate.size());
    const size_t shorter = std::min(name.size(), candidate.size());
    // Each letter more is an edit; and a name from a file may have a million of them.
    if (longer - shorter > allowed_edits(name, candidate)) continue;
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) best_distance = distance, best = candidate;
  }
  return best_distance <= allowed_edits(name, best) ? best : std::string();
}

std::string suggestion(std::string_view name, const std::vector<std::string>& candidates,
                       std::string_view see) {
  const std::string nearest = nearest_name(name, candidates);
  if (!nearest.empty()) return fmt::format("did you mean {}?", nearest);
  if (candidates.size() <= kLongestList || see.empty()) return "allowed: " + join(candidates, ", ");
  return fmt::format("see `{}`", see);
}

std::string with_commas(int64_t n) {
  std::string digits = std::to_string(n);
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > (n < 0 ? 1 : 0); i -= 3)
    digits.insert(static_cast<size_t>(i), ",");
  return digits;
}

// A number that would be rounded up to the next unit is shown in that: 999,999 is 1.00M.
std::string counted(int64_t n, std::string_view one, std::string_view many) {
  if (n == 1) return "1 " + std::string(one);
  return with_commas(n) + " " + (many.empty() ? std::string(one) + "s" : std::string(many));
}

std::string human_count(double n) {
  for (const auto& [unit, name] : {std::pair{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}})
    if (std::abs(n) >= unit * (unit > 1e3 ? 1 - 0.5e-5 : 1 - 0.5e-3))
      return fmt::format("{:.2f}{}", n / unit, name);
  return fmt::format("{:.0f}", n);
}

std::string human_bytes(double n) {
  constexpr double kKiB = 1024;
  for (const auto& [unit, name] : {std::pair{kKiB * kKiB * kKiB * kKiB, "TiB"},
                                   {kKiB * kKiB * kKiB, "GiB"},
                                   {kKiB * kKiB, "MiB"},
                                   {kKiB, "KiB"}})
    if (std::abs(n) >= unit * (1 - (unit > kKiB ? 0.05 : 0.5) / kKiB))
      return fmt::format("{:.1f} {}", n / unit, name);
  return fmt::format("{:.0f} B", n);
}

std::string human_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

namespace {

std::string with_escapes(std::string_view text, std::string_view signs) {
  std::string out;
  bool seen = false;  // the last character can be varied
  for (size_t i = 0; i < text.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(text, i));
    const std::string_view character = text.substr(i, n);
    const bool visible = is_visible(character, seen);
    if (!visible)
      out += escape_of(character);
    else if (signs.find(character[0]) != std::string_view::npos)
      out += '\\', out += character;
    else
      out += character;
    seen = is_visible(character, /*after_visible=*/false);
    i += n;
  }
  return out;
}

// At most 80 bytes, whole characters.
std::string_view start_of(std::string_view text) {
  constexpr size_t kShownBytes = 80;
  if (text.size() <= kShownBytes) return text;
  size_t cut = kShownBytes;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return text.substr(0, cut);
}

}  // namespace

std::string in_quotes(std::string_view text) {
  return '"' + with_escapes(text, "\"\\") + '"';
}

std::string quoted_start(std::string_view text) {
  const std::string_view start = start_of(text);
  return in_quotes(start) + (start.size() < text.size() ? "..." : "");
}

std::string escaped(std::string_view text) {
  const std::string_view start = start_of(text);
  return with_escapes(start, "") + (start.size() < text.size() ? "..." : "");
}

std::string shown_list(const std::vector<int64_t>& list) {
  return escaped(fmt::format("{}", fmt::join(list, ", ")));
}

std::string shown_list(const std::vector<double>& list) {
  return escaped(fmt::format("{}", fmt::join(list, ", ")));
}

bool is_printable(std::string_view text) {
  return with_escapes(text, "") == text;
}

std::string home_expanded(const std::string& path) {
  const char* home = std::getenv("HOME");
  const bool begins = path == "~" || path.rfind("~/", 0) == 0;
  return begins && home != nullptr && *home != '\0' ? home + path.substr(1) : path;
}

}  // namespace fathom
