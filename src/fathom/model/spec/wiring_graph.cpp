#include "fathom/model/spec/wiring_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

namespace fathom {
namespace {

// Beyond these a wiring is taken as it is written.
constexpr size_t kLargestGraph = 128;
constexpr int kLargestPower = 8;

struct LinearForm {
  double constant = 0;
  std::map<int, double> terms;
};

// To 15 digits, which hide how a number was computed: 1/49*49 is 1, and 3/10 is 0.3.
double rounded(double x) {
  const std::string text = fmt::format("{:.15g}", x + 0.0);  // -0 is 0
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

// a + b, and 0 where only rounding is left of them.
double added(double a, double b) {
  const double sum = a + b;
  return std::abs(sum) < 1e-15 * std::abs(a) ? 0 : sum;
}

class GraphBuilder {
 public:
  ValueGraph build(const Wiring& wiring, bool y_is_read) {
    const WiringParts parts = check_wiring(wiring);
    for (const char* name : {"r", "n", "y", "pos"}) {
      ValueNode input;
      input.name = name;
      values_[name] = fresh(std::move(input));
    }
    bool assigns_y = false;
    for (const Statement& s : wiring.statements) {
      values_[s.target] = value_of(s.value);
      assigns_y = assigns_y || s.target == "y";
    }
    graph_.r = values_["r"];
    const int y = values_["y"];
    if (assigns_y && (parts.reads_y || y_is_read) && !is_change_of_r(y)) graph_.y = y;
    for (ValueNode& node : graph_.nodes) {
      node.constant = rounded(node.constant);
      for (auto& term : node.terms) term.second = rounded(term.second);
    }
    return std::move(graph_);
  }

 private:
  // r starts as the first node.
  bool is_change_of_r(int y) {
    const LinearForm difference = form(plus(plus(graph_.r, y, -1), 0, -1));
    return difference.constant == 0 &&
           std::all_of(difference.terms.begin(), difference.terms.end(),
                       [](const auto& term) { return term.second == 0; });
  }

  int value_of(const Expr& e) {
    const auto argument = [&](size_t i) { return value_of(e.args[i]); };
    switch (e.op) {
      case Expr::kName:
        return values_.at(e.name);
      case Expr::kNumber:
        return sum({e.number, {}});
      case Expr::kAdd:
      case Expr::kSubtract: {
        const int left = argument(0), right = argument(1);
        return plus(left, right, e.op == Expr::kAdd ? 1 : -1);
      }
      case Expr::kMultiply: {
        const int left = argument(0), right = argument(1);
        return times(left, right);
      }
      case Expr::kDivide: {
        const int left = argument(0), right = argument(1);
        return scaled(left, form(right).constant, /*divides=*/true);
      }
      default:
        return call(e);
    }
  }

  int call(const Expr& e) {
    ValueNode node;
    node.kind = ValueNode::kCall;
    node.op = e.op;
    node.name = e.name;
    node.part = e.part;
    for (const Expr& arg : e.args) node.args.push_back(value_of(arg));
    // A(x, v) takes its keys from x, and A(x) its values.
    if (e.op == Expr::kAttention && node.args.size() == 3 && node.args[0] == node.args[1])
      node.args.erase(node.args.begin());
    if (e.op == Expr::kAttention && node.args.size() == 2 && node.args[0] == node.args[1])
      node.args.pop_back();
    if (e.op != Expr::kCall) return fresh(std::move(node));
    const LinearForm x = form(node.args[0]);
    if (x.terms.empty()) return sum({1 / (1 + std::exp(-x.constant)), {}});  // sigmoid of a number
    const std::string key = "C" + e.name + std::to_string(node.args[0]);
    return only(key, std::move(node));
  }

  LinearForm form(int id) const {
    const ValueNode& node = graph_.nodes[size_t(id)];
    if (node.kind == ValueNode::kSum) return {node.constant, node.terms};
    return {0, {{id, 1.0}}};
  }

  // Factors of 0 stay: a part is called, whatever becomes of its output. A sum keeps all digits for
  // what is computed of it, until the graph is complete.
  int sum(LinearForm f) {
    std::string key = fmt::format("S{}", rounded(f.constant));
    bool allowed = is_allowed(f.constant);
    for (const auto& [id, factor] : f.terms) {
      key += fmt::format(";{}:{}", id, rounded(factor));
      allowed = allowed && is_allowed(factor);
    }
    if (!allowed) return give_up();
    if (rounded(f.constant) == 0 && f.terms.size() == 1 && rounded(f.terms.begin()->second) == 1)
      return f.terms.begin()->first;
    ValueNode node;
    node.kind = ValueNode::kSum;
    node.constant = f.constant;
    node.terms = std::move(f.terms);
    return only(key, std::move(node));
  }

  int plus(int a, int b, double factor) {
    LinearForm f = form(a);
    const LinearForm g = form(b);
    f.constant = added(f.constant, factor * g.constant);
    for (const auto& [id, own] : g.terms) f.terms[id] = added(f.terms[id], factor * own);
    return sum(std::move(f));
  }

  int scaled(int a, double factor, bool divides = false) {
    LinearForm f = form(a);
    f.constant = divides ? f.constant / factor : f.constant * factor;
    for (auto& term : f.terms) term.second = divides ? term.second / factor : term.second * factor;
    return sum(std::move(f));
  }

  // What wirings may have (wiring.h).
  static bool is_allowed(double number) {
    return std::abs(number) <= double(std::numeric_limits<float>::max());
  }

  // The factor of a sum of several terms that is multiplied: of 2*x + 4*y it is 2, so that it does
  // not matter where a number stands. Its size is the least of all; its sign that of most terms or,
  // where as many have either, of those that are read first.
  double common_factor(const LinearForm& f) const {
    std::map<std::pair<int, std::string>, int> signs = {{{-1, ""}, sign_of(f.constant)}};
    double least = std::abs(f.constant);
    int positive = sign_of(f.constant);
    for (const auto& [id, factor] : f.terms) {
      const double size = std::abs(factor);
      if (size != 0 && (least == 0 || size < least)) least = size;
      const ValueNode& x = graph_.nodes[size_t(id)];
      signs[{reading_rank(x), x.name}] += sign_of(factor);
      positive += sign_of(factor);
    }
    for (auto s = signs.begin(); positive == 0 && s != signs.end(); ++s) positive = s->second;
    return (least == 0 ? 1 : least) * (positive < 0 ? -1 : 1);
  }

  static int sign_of(double x) { return (x > 0) - (x < 0); }

  int times(int a, int b) {
    if (form(a).terms.empty()) return scaled(b, form(a).constant);
    if (form(b).terms.empty()) return scaled(a, form(b).constant);
    ValueNode node;
    node.kind = ValueNode::kProduct;
    double factor = 1;
    for (int id : {a, b}) {
      const LinearForm f = form(id);
      if (f.terms.size() == 1 && f.constant == 0) {
        id = f.terms.begin()->first;
        factor *= f.terms.begin()->second;
      } else if (const double common = common_factor(f); common != 1) {
        id = scaled(id, common, /*divides=*/true);
        factor *= common;
      }
      const ValueNode& x = graph_.nodes[size_t(id)];
      if (x.kind != ValueNode::kProduct) ++node.powers[id];
      if (x.kind == ValueNode::kProduct)
        for (const auto& [of, power] : x.powers) node.powers[of] += power;
    }
    std::string key = "P";
    for (const auto& [id, power] : node.powers) {
      key += fmt::format(";{}:{}", id, power);
      if (power > kLargestPower) return give_up();
    }
    return scaled(only(key, std::move(node)), factor);
  }

  int only(const std::string& key, ValueNode node) {
    const auto known = known_.find(key);
    if (known != known_.end()) return known->second;
    const int id = fresh(std::move(node));
    if (graph_.complete) known_[key] = id;
    return id;
  }

  int fresh(ValueNode node) {
    if (!graph_.complete || graph_.nodes.size() >= kLargestGraph) return give_up();
    graph_.nodes.push_back(std::move(node));
    return int(graph_.nodes.size()) - 1;
  }

  int give_up() {
    graph_.complete = false;
    return 0;
  }

  ValueGraph graph_;
  std::map<std::string, int> values_;  // by name
  std::map<std::string, int> known_;   // sums, products and calls by name, by what they are made of
};

template <class F>
void each_child(const ValueNode& node, const F& f) {
  for (const auto& term : node.terms) f(term.first);
  for (const auto& power : node.powers) f(power.first);
  for (const int arg : node.args) f(arg);
}

// The nodes that others are made of, or the block's result; `place`: where each of the old ones is,
// or the one that stands for it.
ValueGraph used(const ValueGraph& graph, const std::vector<int>& stands_for) {
  std::vector<bool> is_used(graph.nodes.size());
  const auto use = [&](int id) { is_used[size_t(stands_for[size_t(id)])] = true; };
  use(graph.r);
  if (graph.y >= 0) use(graph.y);
  for (size_t id = graph.nodes.size(); id-- > 0;)
    if (is_used[id]) each_child(graph.nodes[id], use);
  std::vector<int> place(graph.nodes.size());
  const auto now = [&](int id) { return place[size_t(stands_for[size_t(id)])]; };
  ValueGraph out;
  out.complete = graph.complete;
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    if (!is_used[id]) continue;
    ValueNode node = graph.nodes[id];
    node.terms.clear();
    node.powers.clear();
    for (const auto& [of, factor] : graph.nodes[id].terms) node.terms[now(of)] += factor;
    for (const auto& [of, power] : graph.nodes[id].powers) node.powers[now(of)] += power;
    for (int& arg : node.args) arg = now(arg);
    place[id] = int(out.nodes.size());
    out.nodes.push_back(std::move(node));
  }
  out.r = now(graph.r);
  if (graph.y >= 0) out.y = now(graph.y);
  return out;
}

// Each stands for itself, but a sum of one whole term for that.
std::vector<int> stand_ins(const ValueGraph& graph) {
  std::vector<int> stands_for(graph.nodes.size());
  for (size_t id = 0; id < stands_for.size(); ++id) {
    const ValueNode& node = graph.nodes[id];
    const bool same = node.kind == ValueNode::kSum && node.constant == 0 &&
                      node.terms.size() == 1 && node.terms.begin()->second == 1;
    stands_for[id] = same ? stands_for[size_t(node.terms.begin()->first)] : int(id);
  }
  return stands_for;
}

// The factors with which a node is used; of a power or an argument, 1.
class UseFactors {
 public:
  explicit UseFactors(const ValueGraph& graph) : graph_(graph) {}

  std::set<double> of(int id) const {
    std::set<double> factors;
    if (id == graph_.r || id == graph_.y) factors.insert(1);
    for (size_t user = size_t(id) + 1; user < graph_.nodes.size(); ++user) {
      const ValueNode& node = graph_.nodes[user];
      if (const auto term = node.terms.find(id); term != node.terms.end())
        factors.insert(term->second);
      if (std::find(node.args.begin(), node.args.end(), id) != node.args.end()) factors.insert(1);
      const auto power = node.powers.find(id);
      if (power == node.powers.end()) continue;
      if (power->second > 1)
        factors.insert(1);
      else
        factors.merge(of(int(user)));
    }
    return factors;
  }

 private:
  const ValueGraph& graph_;
};

}  // namespace

int reading_rank(const ValueNode& node) {
  if (node.kind == ValueNode::kInput)
    return node.name == "r" ? 0 : node.name == "n" ? 1 : node.name == "y" ? 2 : 3;
  if (node.kind == ValueNode::kProduct) return 4;
  return node.kind == ValueNode::kSum ? 100 : 5 + int(node.op);
}

ValueGraph value_graph(const Wiring& wiring, bool y_is_read) {
  const ValueGraph graph = GraphBuilder().build(wiring, y_is_read);
  ValueGraph out = used(graph, stand_ins(graph));
  const bool reads_y = std::any_of(out.nodes.begin(), out.nodes.end(), [](const ValueNode& node) {
    return node.kind == ValueNode::kInput && node.name == "y";
  });
  if (out.y < 0 || y_is_read || reads_y) return out;
  out.y = -1;  // only what nothing reads has read it
  return used(out, stand_ins(out));
}

ValueGraph without_scales(ValueGraph graph, const OutputScales& scales) {
  std::map<std::pair<Expr::Op, int>, int> calls;
  for (const ValueNode& node : graph.nodes)
    if (node.kind == ValueNode::kCall) ++calls[{node.op, node.part}];
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    const ValueNode& part = graph.nodes[id];
    const bool takes_up =
        (part.op == Expr::kAttention && scales.attention) || (part.op == Expr::kMlp && scales.mlp);
    if (part.kind != ValueNode::kCall || !takes_up || calls[{part.op, part.part}] != 1) continue;
    const std::set<double> factors = UseFactors(graph).of(int(id));
    if (factors.size() != 1 || *factors.begin() == 0) continue;
    for (ValueNode& node : graph.nodes)
      for (auto& [of, factor] : node.terms)
        if (of == int(id) || graph.nodes[size_t(of)].powers.count(int(id)) > 0) factor = 1;
  }
  return used(graph, stand_ins(graph));
}

}  // namespace fathom
