// Which of a graph's values are alike: an order of them that does not depend on how they were
// written.
#pragma once

#include <cstdint>
#include <vector>

#include "fathom/model/spec/wiring_graph.h"

namespace fathom {

// A number for each node, all different, and the same for graphs that differ only in the order of
// their nodes and in the numbers of their parts. By refinement of colours (Weisfeiler and Leman),
// where a node's colour is made of what it is made of and of what is made of it; of nodes that
// remain alike one is singled out. Alike ones that no exchange maps onto one another, which
// refinement cannot tell apart, may come out in either order: two forms of one wiring then.
// `by_part`: the numbers of parts count.
std::vector<uint64_t> value_colors(const ValueGraph& graph, bool by_part = false);

}  // namespace fathom
