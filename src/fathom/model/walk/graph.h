// Parts of a walk without a graph.
#pragma once

#include <ATen/core/grad_mode.h>

#include <optional>

namespace fathom {

// Automatic casts that are not remembered, for as long as it lives. One that is made without a
// graph would be handed to whoever wants one with a graph, and a weight would lose that gradient.
class UnrememberedCasts {
 public:
  UnrememberedCasts();
  ~UnrememberedCasts();
  UnrememberedCasts(const UnrememberedCasts&) = delete;
  UnrememberedCasts& operator=(const UnrememberedCasts&) = delete;

 private:
  bool before_;
};

// For as long as it lives there is a graph if there was one before and `wanted`.
class GraphIf {
 public:
  explicit GraphIf(bool wanted) : mode_(at::GradMode::is_enabled() && wanted) {
    if (!wanted) casts_.emplace();
  }

 private:
  at::AutoGradMode mode_;
  std::optional<UnrememberedCasts> casts_;
};

}  // namespace fathom
