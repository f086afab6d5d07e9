#include "fathom/track/metric_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "fathom/base/text.h"

namespace fathom {
namespace {

bool begins_word(const std::string& text, size_t at) {
  return at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0;
}

std::string number_text(const std::string& name, double value) {
  for (const char* share : {"rate", "accuracy", "correct", "confident", "fallback", "earlystop"})
    if (name.find(share) != std::string::npos) return fmt::format("{:.3f}", value);
  return fmt::format("{:.4f}", value);
}

// Of "name/3.1": 3, 1. Nothing for other names.
std::optional<ListPlace> place_in_list(const std::string& name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  ListPlace place;
  const char *at = name.data() + slash + 1, *end = name.data() + name.size();
  for (;; ++at) {
    place.push_back(0);
    const auto [rest, error] = std::from_chars(at, end, place.back());
    if (error != std::errc() || place.back() < 0) return std::nullopt;
    if (rest == end) return place;
    if (*rest != '.') return std::nullopt;
    at = rest;
  }
}

// Of "loops/layers_1-2" and "loop_exits/layer_4_inner.3", a list by groups of layers.
struct GroupPlace {
  std::string list, words;  // "loop_exits", "layer 4, inner.3"
  ListPlace order;          // its numbers
};

std::optional<GroupPlace> place_among_groups(const std::string& name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  const std::string key = name.substr(slash + 1);
  const bool is_one = key.rfind("layer_", 0) == 0;
  if (!is_one && key.rfind("layers_", 0) != 0) return std::nullopt;
  GroupPlace place{name.substr(0, slash), {}, {}};
  bool was_digit = false;
  for (size_t i = 0; i < key.size(); ++i) {
    const bool is_digit = std::isdigit(static_cast<unsigned char>(key[i])) != 0;
    if (is_digit && !was_digit) place.order.push_back(0);
    if (is_digit)
      place.order.back() = std::min(place.order.back(), 1'000'000) * 10 + (key[i] - '0');
    was_digit = is_digit;
    const bool first = key[i] == '_' && place.words.find(' ') == std::string::npos;
    place.words += key[i] != '_' ? std::string(1, key[i]) : first ? " " : ", ";
  }
  if (place.order.empty()) return std::nullopt;
  return place;
}

// 0, 1, 2, ...
bool counts_from_0(const std::map<ListPlace, double>& list) {
  int next = 0;
  for (const auto& [place, value] : list)
    if (place != ListPlace{next++}) return false;
  return true;
}

// Such lists, in words.
std::map<std::string, std::vector<std::string>> group_lists(
    const std::map<std::string, double>& metrics) {
  std::map<std::string, std::map<std::pair<ListPlace, std::string>, std::string>> lists;
  for (const auto& [name, value] : metrics)
    if (const auto place = place_among_groups(name))
      lists[place->list][{place->order, place->words}] =
          place->words + ": " + number_text(name, value);
  std::map<std::string, std::vector<std::string>> shown;
  for (const auto& [name, list] : lists)
    for (const auto& entry : list) shown[name].push_back(entry.second);
  return shown;
}

}  // namespace

std::string to_text(const ListPlace& place) {
  return fmt::format("{}", fmt::join(place, "."));
}

std::map<std::string, std::map<ListPlace, double>> lists_of(
    const std::map<std::string, double>& metrics) {
  std::map<std::string, std::map<ListPlace, double>> lists;
  for (const auto& [name, value] : metrics)
    if (const auto place = place_in_list(name))
      lists[name.substr(0, name.rfind('/'))][*place] = value;
  return lists;
}

std::string metrics_text(const std::map<std::string, double>& metrics) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : metrics)
    if (!place_in_list(name) && !place_among_groups(name))
      parts.push_back(name + " " + number_text(name, value));
  for (const auto& [name, values] : lists_of(metrics)) {
    const bool is_plain = counts_from_0(values);
    std::vector<std::string> shown;
    for (const auto& [place, value] : values)
      shown.push_back((is_plain ? "" : to_text(place) + ": ") + number_text(name, value));
    parts.push_back(fmt::format("{} [{}]", name, join(shown, is_plain ? " " : ", ")));
  }
  for (const auto& [name, shown] : group_lists(metrics))
    parts.push_back(fmt::format("{} [{}]", name, join(shown, "; ")));
  return join(parts, ", ");
}

size_t begin_of_part(const std::string& metric) {
  const size_t point = metric.rfind('.');
  if (point == metric.npos || metric.find('/') != metric.npos) return metric.npos;
  return begins_word(metric, point + 1) ? point + 1 : metric.npos;
}

bool is_detail(const std::string& metric) {
  // What the table of layers has (`fathom eval`); who answers is told by exit_rate.
  for (const char* layers : {"earlystop", "exit_confident_last", "exit_correct", "exit_depth",
                             "exit_fallback", "layer_accuracy", "layer_loss"})
    if (metric.substr(0, metric.find('/')) == layers) return true;
  const size_t slash = metric.find('/'), ending = kBaselineEnding.size();
  const bool is_of_group =
      slash != metric.npos && begins_word(metric, slash + 1) && !place_among_groups(metric);
  const bool is_baseline = metric.size() > ending &&
                           metric.compare(metric.size() - ending, ending, kBaselineEnding) == 0;
  return is_of_group || is_baseline || begin_of_part(metric) != metric.npos;
}

}  // namespace fathom
