#include "fathom/model/spec/value_colors.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "fathom/base/random.h"

namespace fathom {
namespace {

// The finaliser of splitmix64, over both.
uint64_t mixed(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9E3779B97F4A7C15 + b + 0x632BE59BD9B4E019;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

uint64_t bits_of(double x) {
  uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// Of a set of colours, whatever their order.
uint64_t mixed_set(uint64_t start, std::vector<uint64_t> colors) {
  std::sort(colors.begin(), colors.end());
  for (const uint64_t color : colors) start = mixed(start, color);
  return start;
}

class ColorRefinement {
 public:
  ColorRefinement(const ValueGraph& graph, bool by_part)
      : graph_(graph), by_part_(by_part), colors_(graph.nodes.size(), 1) {}

  std::vector<uint64_t> distinct() {
    for (;;) {
      refine();
      std::map<uint64_t, int> times;
      for (const uint64_t color : colors_) ++times[color];
      const auto alike = std::find_if(times.begin(), times.end(),
                                      [](const auto& color) { return color.second > 1; });
      if (alike == times.end()) return colors_;
      uint64_t& one = *std::find(colors_.begin(), colors_.end(), alike->first);
      one = mixed(one, 0xA10E);
    }
  }

 private:
  using Part = std::pair<int, int>;  // operation and number

  size_t count() const { return std::set<uint64_t>(colors_.begin(), colors_.end()).size(); }

  void refine() {
    for (size_t before = 0; before < count();) {
      before = count();
      color_once();
    }
  }

  void color_once() {
    // Upwards: of what a node is made.
    std::vector<uint64_t> up(colors_.size());
    for (size_t id = 0; id < up.size(); ++id) up[id] = mixed(colors_[id], made_of(id, up));
    // Downwards: what is made of it.
    std::vector<std::vector<uint64_t>> uses(up.size());
    uses[size_t(graph_.r)].push_back(1);
    if (graph_.y >= 0) uses[size_t(graph_.y)].push_back(2);
    for (size_t id = up.size(); id-- > 0;) {
      colors_[id] = mixed_set(up[id], uses[id]);
      const ValueNode& node = graph_.nodes[id];
      for (const auto& [of, factor] : node.terms)
        uses[size_t(of)].push_back(mixed(colors_[id], bits_of(factor)));
      for (const auto& [of, power] : node.powers)
        uses[size_t(of)].push_back(mixed(colors_[id], uint64_t(power)));
      for (size_t i = 0; i < node.args.size(); ++i)
        uses[size_t(node.args[i])].push_back(mixed(colors_[id], i));
    }
    std::map<Part, std::vector<uint64_t>> of_part;
    for (size_t id = 0; id < up.size(); ++id) of_part[part(id)].push_back(colors_[id]);
    for (const auto& [which, colors] : of_part) part_colors_[which] = mixed_set(0, colors);
  }

  Part part(size_t id) const { return {int(graph_.nodes[id].op), graph_.nodes[id].part}; }

  uint64_t made_of(size_t id, const std::vector<uint64_t>& up) const {
    const ValueNode& node = graph_.nodes[id];
    uint64_t color = mixed(uint64_t(node.kind), name_hash(node.name));
    color = mixed(color, bits_of(node.constant));
    std::vector<uint64_t> children;
    for (const auto& [of, factor] : node.terms)
      children.push_back(mixed(up[size_t(of)], bits_of(factor)));
    for (const auto& [of, power] : node.powers)
      children.push_back(mixed(up[size_t(of)], uint64_t(power)));
    color = mixed_set(color, std::move(children));
    if (node.kind != ValueNode::kCall) return color;
    color = mixed(color, uint64_t(node.op));
    if (by_part_) color = mixed(color, uint64_t(node.part));
    for (const int arg : node.args) color = mixed(color, up[size_t(arg)]);
    const auto known = part_colors_.find(part(id));
    return mixed(color, known == part_colors_.end() ? 0 : known->second);
  }

  const ValueGraph& graph_;
  const bool by_part_;
  std::vector<uint64_t> colors_;
  std::map<Part, uint64_t> part_colors_;
};

}  // namespace

std::vector<uint64_t> value_colors(const ValueGraph& graph, bool by_part) {
  return ColorRefinement(graph, by_part).distinct();
}

}  // namespace fathom
