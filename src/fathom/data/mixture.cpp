#include "fathom/data/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {
namespace {

void check_weights(const std::vector<double>& weights, size_t parts) {
  if (weights.size() != parts)
    misuse(fmt::format("mixture_weights has {} numbers for {} data sets", weights.size(), parts),
           "one for each, in their order");
  const bool sound = std::all_of(weights.begin(), weights.end(),
                                 [](double w) { return std::isfinite(w) && w >= 0; });
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (!sound || !std::isfinite(sum) || sum <= 0)
    misuse("mixture_weights are not all finite and at least 0, with one above 0",
           "such as [3, 1]: three rows of the first for one of the second");
}

constexpr int64_t kMostOwed = 1 << 24;  // no draw has as many samples

std::string owed_by(size_t part) {
  return "owed." + std::to_string(part);
}

}  // namespace

Mixture::Mixture(std::vector<std::shared_ptr<const DataSet>> parts, MixtureRule rule,
                 const std::vector<double>& weights, uint64_t seed)
    : parts_(std::move(parts)), rule_(rule), stream_(seed, "data/mixture") {
  if (parts_.empty()) misuse("a mixture of no data sets has nothing to draw");
  if (rule != MixtureRule::kWeighted) {
    if (!weights.empty()) misuse("mixture_weights have no meaning for parts that take turns");
    return;
  }
  check_weights(weights, parts_.size());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  double so_far = 0;
  for (const double weight : weights) shares_.push_back((so_far += weight) / sum);
}

size_t Mixture::part_of(int64_t turn) const {
  if (shares_.empty()) return static_cast<size_t>(turn) % parts_.size();
  const double value = stream_.uniform(static_cast<uint64_t>(turn));
  const auto found = std::upper_bound(shares_.begin(), shares_.end(), value);  // the last one is 1
  return static_cast<size_t>(found - shares_.begin());
}

Cursor Mixture::start() const {
  Cursor cursor;
  for (size_t i = 0; i < parts_.size(); ++i) cursor.set_part(std::to_string(i), parts_[i]->start());
  return cursor;
}

// The next turn is that of the first who owes none.
void Mixture::end_turn(Cursor& cursor) const {
  for (int64_t turn = cursor["turn"] + 1;; ++turn) {
    const std::string owed = owed_by(part_of(turn));
    const int64_t turns = cursor[owed];
    cursor.set("turn", turn);
    if (turns == 0 || turn == INT64_MAX) return;
    cursor.set(owed, turns - 1);
  }
}

Drawn Mixture::next(const Cursor& cursor) const {
  const int64_t turn = cursor["turn"];
  if (turn < 0 || turn == INT64_MAX)
    fail(fmt::format("the data position (turn {}) does not exist in a mixture", turn),
         "it belongs to another data set");
  for (size_t i = 0; i < parts_.size(); ++i)
    if (const int64_t owed = cursor[owed_by(i)]; owed > kMostOwed)
      fail(fmt::format("the data position (part {} owes {} turns) does not exist", i, owed),
           "it belongs to another data set");
  const size_t part = part_of(turn);
  const std::string name = std::to_string(part);
  Drawn drawn = parts_[part]->next(cursor.part(name));
  Cursor after = cursor;
  after.set_part(name, drawn.after);
  const std::string owed = owed_by(part);
  const bool begins = parts_[part]->is_between_samples(cursor.part(name));
  const int64_t more = cursor[owed] + drawn.samples - begins;  // than the one of this turn
  after.set(owed, std::max<int64_t>(more, 0));
  if (parts_[part]->is_between_samples(drawn.after)) end_turn(after);
  drawn.after = std::move(after);
  return drawn;
}

std::optional<int64_t> Mixture::samples() const {
  std::vector<int64_t> ends;
  for (const auto& part : parts_)
    if (const auto n = part->samples()) ends.push_back(*n);
  const auto count = static_cast<int64_t>(parts_.size());
  if (ends.empty()) return {};
  if (rule_ == MixtureRule::kFirstExhausted)
    return count * *std::min_element(ends.begin(), ends.end());
  if (ends.size() < parts_.size()) return {};
  if (rule_ == MixtureRule::kAllExhausted)
    return count * *std::max_element(ends.begin(), ends.end());
  return std::accumulate(ends.begin(), ends.end(), int64_t{0});
}

bool Mixture::is_between_samples(const Cursor& cursor) const {
  const size_t part = part_of(cursor["turn"]);
  return parts_[part]->is_between_samples(cursor.part(std::to_string(part)));
}

Cursor Mixture::next_sample(const Cursor& cursor) const {
  if (is_between_samples(cursor)) return cursor;
  const size_t part = part_of(cursor["turn"]);
  const std::string name = std::to_string(part);
  Cursor after = cursor;
  after.set_part(name, parts_[part]->next_sample(cursor.part(name)));
  end_turn(after);
  return after;
}

}  // namespace fathom
