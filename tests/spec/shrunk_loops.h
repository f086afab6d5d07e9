// A looping section for a model of two or three layers: the same in kind, at a size that a test can
// afford.
#pragma once

#include <algorithm>

#include "fathom/model/spec/model_config.h"

namespace fathom::testing {

inline IntTree tree_of(int64_t layer) {
  IntTree tree;
  tree.number = layer;
  return tree;
}
inline IntTree tree_of(std::vector<IntTree> list) {
  IntTree tree;
  tree.is_list = true;
  tree.list = std::move(list);
  return tree;
}

// Of several groups two, of groups in groups one, of one group the layer before the last.
inline void shrink_loops(ModelConfig& c) {
  LoopingConfig& l = c.looping;
  if (!l.loops()) return;
  const int64_t last = c.backbone.n_layer - 1;
  const auto nests = [](const IntTree& group) {
    return std::any_of(group.list.begin(), group.list.end(),
                       [](const IntTree& part) { return part.is_list; });
  };
  const bool nested = std::any_of(l.groups.list.begin(), l.groups.list.end(), nests);
  const IntTree before = tree_of(std::max<int64_t>(0, last - 1));
  if (nested && last > 0)
    l.groups = {"", {tree_of({before, tree_of({tree_of(last)})})}};
  else if (l.groups.list.size() > 1 && last > 0)
    l.groups = {"", {tree_of({before}), tree_of({tree_of(last)})}};
  else
    l.groups = {"", {tree_of({before})}};
  const size_t groups = span_count(loop_spans(l, c.backbone.n_layer));
  if (!l.counts.empty()) l.counts.assign(groups, 2);
  l.max_loops = std::min<int64_t>(l.max_loops, 3);
  if (l.rbar) l.rbar = std::min(*l.rbar, 1.5);
  if (l.backprop_depth) l.backprop_depth = std::min<int64_t>(*l.backprop_depth, 2);
  c.backbone.effective_n_layer.reset();
}

}  // namespace fathom::testing
