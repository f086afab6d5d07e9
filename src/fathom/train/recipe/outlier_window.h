// Is a value far above those before it? A z-score over a sliding window, as in llm.c's outlier
// detector. Torch-free.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json_fwd.hpp>

namespace fathom {

class OutlierWindow {
 public:
  explicit OutlierWindow(int64_t size = 128) : size_(size) {}

  // (value - mean) / standard deviation of the window; 0 until the window is full, and where its
  // values are all equal. The value itself is not taken in.
  double score(double value) const;
  // Only values that were accepted: a skipped spike must not raise the bar for the next one.
  void add(double value);

  // The newest values in a window of another size.
  OutlierWindow resized(int64_t size) const;

  int64_t count() const { return static_cast<int64_t>(values_.size()); }

 private:
  friend void to_json(nlohmann::json& out, const OutlierWindow& window);
  friend void from_json(const nlohmann::json& in, OutlierWindow& window);

  int64_t size_;
  std::deque<double> values_;  // oldest first
};

// The values alone; `size` is the configuration's. Reading keeps the newest that fit, and throws
// Error for anything but finite numbers.
void to_json(nlohmann::json& out, const OutlierWindow& window);
void from_json(const nlohmann::json& in, OutlierWindow& window);

}  // namespace fathom
