#include "fathom/model/spec/canonical_wiring.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "fathom/io/files.h"
#include "fathom/model/spec/value_colors.h"

namespace fathom {
namespace {

// A sum as it is written: a sum that has a name of its own, if there is one, and what is beside it.
struct WrittenSum {
  int base = -1;
  std::vector<std::pair<int, double>> terms;
};

bool reads(const Expr& e, std::string_view name) {
  return (e.op == Expr::kName && e.name == name) ||
         std::any_of(e.args.begin(), e.args.end(), [&](const Expr& x) { return reads(x, name); });
}

class GraphWriter {
 public:
  GraphWriter(const ValueGraph& graph, bool renumbers)
      : graph_(graph),
        renumbers_(renumbers),
        colors_(value_colors(graph, !renumbers)),
        sums_(graph.nodes.size()) {
    for (size_t id = 0; id < sums_.size(); ++id)
      if (graph.nodes[id].kind == ValueNode::kSum) sums_[id] = written(int(id));
    count_uses();
  }

  // False: a value of it is deeper than what can be read back.
  bool write(Wiring& out) {
    for (const int id : named_nodes()) {
      std::string name = "t" + std::to_string(out.statements.size() + 1);
      out.statements.push_back({name, defined(id, 0)});
      names_[id] = std::move(name);
    }
    assign_results(out);
    if (renumbers_)
      for (Statement& s : out.statements) number_parts(s.value);
    return !too_deep_;
  }

 private:
  const ValueNode& node(int id) const { return graph_.nodes[size_t(id)]; }

  // Of two nodes the one that is read first.
  bool before(int a, int b) const {
    const auto key = [&](int id) {
      const ValueNode& x = node(id);
      return std::make_tuple(reading_rank(x), std::string_view(x.name), colors_[size_t(id)]);
    };
    return key(a) < key(b);
  }

  // The largest sum whose terms are all in this one.
  WrittenSum written(int id) const {
    const ValueNode& sum = node(id);
    WrittenSum out;
    size_t most = 1;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const ValueNode& other = graph_.nodes[i];
      const size_t size = other.terms.size() + (sum.constant != 0 ? 0 : 1);
      if (int(i) == id || other.constant != 0 || size > sum.terms.size()) continue;
      const bool larger = other.terms.size() > most;
      const bool same = other.terms.size() == most && out.base >= 0;
      if (!larger && !(same && before(int(i), out.base))) continue;
      const auto has = [&](const auto& term) {
        const auto found = sum.terms.find(term.first);
        return found != sum.terms.end() && found->second == term.second;
      };
      if (!std::all_of(other.terms.begin(), other.terms.end(), has)) continue;
      out.base = int(i);
      most = other.terms.size();
    }
    for (const auto& term : sum.terms)
      if (out.base < 0 || node(out.base).terms.count(term.first) == 0) out.terms.push_back(term);
    std::sort(out.terms.begin(), out.terms.end(),
              [&](const auto& a, const auto& b) { return before(a.first, b.first); });
    return out;
  }

  // What a node is written with, as often as it is.
  std::vector<int> children(int id) const {
    std::vector<int> out = node(id).args;
    for (const auto& [of, power] : node(id).powers) out.insert(out.end(), size_t(power), of);
    const WrittenSum& sum = sums_[size_t(id)];
    if (sum.base >= 0) out.push_back(sum.base);
    for (const auto& term : sum.terms) out.push_back(term.first);
    return out;
  }

  void count_uses() {
    uses_.assign(graph_.nodes.size(), 0);
    ++uses_[size_t(graph_.r)];
    if (graph_.y >= 0) ++uses_[size_t(graph_.y)];
    for (size_t id = 0; id < uses_.size(); ++id)
      for (const int child : children(int(id))) ++uses_[size_t(child)];
  }

  // Those with temporaries, what they are made of first.
  std::vector<int> named_nodes() const {
    std::vector<int> height(graph_.nodes.size(), 0), named;
    for (bool grows = true; grows;) {
      grows = false;
      for (size_t id = 0; id < height.size(); ++id)
        for (const int child : children(int(id)))
          if (height[id] <= height[size_t(child)]) {
            height[id] = height[size_t(child)] + 1;
            grows = true;
          }
    }
    for (size_t id = 0; id < height.size(); ++id)
      if (uses_[id] > 1 && graph_.nodes[id].kind != ValueNode::kInput) named.push_back(int(id));
    std::sort(named.begin(), named.end(), [&](int a, int b) {
      const int at_a = height[size_t(a)], at_b = height[size_t(b)];
      return at_a != at_b ? at_a < at_b : before(a, b);
    });
    return named;
  }

  Expr value(int id, int depth) {
    const auto named = names_.find(id);
    return named != names_.end() ? wire::name(named->second) : defined(id, depth);
  }

  Expr defined(int id, int depth) {
    const ValueNode& x = node(id);
    if (depth > kDeepestFormula) {
      too_deep_ = true;
      return wire::number(0);
    }
    if (x.kind == ValueNode::kInput) return wire::name(x.name);
    if (x.kind == ValueNode::kSum) return defined_sum(id, depth);
    if (x.kind == ValueNode::kProduct) return product(1, id, depth);
    Expr e;
    e.op = x.op;
    e.name = x.name;
    e.part = x.part;
    for (const int arg : x.args) e.args.push_back(value(arg, depth + 1));
    return e;
  }

  Expr defined_sum(int id, int depth) {
    const WrittenSum& sum = sums_[size_t(id)];
    std::vector<std::pair<int, double>> terms = sum.terms;
    if (sum.base >= 0) terms.insert(terms.begin(), {sum.base, 1.0});
    const int inside = depth + int(terms.size()) + 1;
    const double constant = node(id).constant;
    if (terms.empty()) return wire::number(constant);
    const bool begins = constant > 0 && terms[0].second < 0;  // 1 - x
    Expr e = begins ? wire::number(constant) : scaled(terms[0].second, terms[0].first, inside);
    for (size_t i = begins ? 0 : 1; i < terms.size(); ++i) {
      Expr term = scaled(std::abs(terms[i].second), terms[i].first, inside);
      e = terms[i].second < 0 ? std::move(e) - std::move(term) : std::move(e) + std::move(term);
    }
    if (constant > 0 && !begins) return std::move(e) + wire::number(constant);
    return constant < 0 ? std::move(e) - wire::number(-constant) : e;
  }

  Expr scaled(double factor, int id, int depth) {
    if (node(id).kind == ValueNode::kProduct && names_.count(id) == 0)
      return product(factor, id, depth);
    if (factor == 1) return value(id, depth);
    return wire::number(factor) * value(id, depth + 1);
  }

  Expr product(double factor, int id, int depth) {
    std::vector<int> factors = children(id);
    std::sort(factors.begin(), factors.end(), [&](int a, int b) { return before(a, b); });
    // 2*(x + y) would be another sum.
    if (factor != 1 && node(factors[0]).kind == ValueNode::kSum)
      return wire::number(factor) * product(1, id, depth + 1);
    const int inside = depth + int(factors.size()) + 1;
    Expr e =
        factor == 1 ? value(factors[0], inside) : wire::number(factor) * value(factors[0], inside);
    for (size_t i = 1; i < factors.size(); ++i) e = std::move(e) * value(factors[i], inside);
    return e;
  }

  // Both read the values at the door.
  void assign_results(Wiring& out) {
    Statement r{"r", value(graph_.r, 0)};
    if (graph_.y >= 0) {
      Statement y{"y", value(graph_.y, 0)};
      if (reads(r.value, "y") && reads(y.value, "r")) {
        std::string name = "t" + std::to_string(out.statements.size() + 1);
        out.statements.push_back({name, std::move(y.value)});
        y.value = wire::name(std::move(name));
      }
      if (!reads(r.value, "y")) {
        out.statements.push_back(std::move(y));
      } else {
        out.statements.push_back(std::move(r));
        r = std::move(y);
      }
    }
    out.statements.push_back(std::move(r));
  }

  // In the order in which they are read.
  void number_parts(Expr& e) {
    if (e.op == Expr::kAttention || e.op == Expr::kMlp || e.op == Expr::kNorm) {
      std::map<int, int>& numbers = numbers_[e.op];
      e.part = numbers.emplace(e.part, int(numbers.size())).first->second;
    }
    for (Expr& arg : e.args) number_parts(arg);
  }

  const ValueGraph& graph_;
  const bool renumbers_;
  const std::vector<uint64_t> colors_;
  std::vector<WrittenSum> sums_;  // by node
  std::vector<int> uses_;         // by node
  std::map<int, std::string> names_;
  std::map<Expr::Op, std::map<int, int>> numbers_;
  bool too_deep_ = false;
};

Wiring written(const ValueGraph& graph, const Wiring& otherwise, bool renumbers = true) {
  Wiring out;
  return graph.complete && GraphWriter(graph, renumbers).write(out) ? out : otherwise;
}

}  // namespace

Wiring canonical(const Wiring& wiring, bool y_is_read) {
  return written(value_graph(wiring, y_is_read), wiring);
}

std::string wiring_hash(const Wiring& wiring, bool y_is_read) {
  const std::string text = to_text(canonical(wiring, y_is_read));
  return xxh3_hex({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

std::string text_by_part(const Wiring& wiring, bool y_is_read) {
  return to_text(written(value_graph(wiring, y_is_read), wiring, /*renumbers=*/false));
}

std::string equivalence_text(const Wiring& wiring, const OutputScales& scales, bool y_is_read) {
  return to_text(written(without_scales(value_graph(wiring, y_is_read), scales), wiring));
}

}  // namespace fathom
