// A norm that two readers of a state want is computed once.
#pragma once

#include <ATen/core/grad_mode.h>

#include "fathom/model/walk/block.h"

namespace fathom {

class SharedNorms {
 public:
  explicit SharedNorms(const BlockSettings& settings) : settings_(settings) {}

  Tensor of(const Tensor& x_RC, const NormId& id, const Params& params) {
    const bool known = x_.defined() && x_.is_same(x_RC) && id_ == id;
    if (known && graph_ == at::GradMode::is_enabled()) return n_;
    x_ = x_RC;
    id_ = id;
    graph_ = at::GradMode::is_enabled();
    return n_ = norm(x_RC, params.norm(id), settings_);
  }

 private:
  const BlockSettings& settings_;
  Tensor x_, n_;
  NormId id_;
  bool graph_ = false;
};

}  // namespace fathom
