// Wirings of any form that check_wiring() takes, from a seed.
#pragma once

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fathom/model/spec/wiring.h"

namespace fathom::testing {

class RandomFormula {
 public:
  explicit RandomFormula(unsigned seed) : random_(seed) {}

  Wiring wiring() {
    channels_ = {"r", "n", "y"};
    tokens_.clear();
    Wiring w;
    for (int count = below(4); count > 0; --count) {
      const std::string name = std::string(1, "abuy"[below(4)]);
      if (below(4) == 0 && name != "y") {
        forget(name);
        w.statements.push_back({name, token(2)});
        tokens_.push_back(name);
      } else {
        w.statements.push_back({name, channels(3)});
        forget(name);
        channels_.push_back(name);
      }
    }
    w.statements.push_back({"r", channels(4)});
    number_parts(w);
    return w;
  }

  // The same wiring in other words: other orders, names and numbers of parts.
  Wiring said_otherwise(Wiring w) {
    const bool exchange = below(2) == 0;
    std::map<std::string, std::string> names;
    for (Statement& s : w.statements) {
      s.value = otherwise(s.value, names, exchange);
      if (s.target != "r" && s.target != "y") {
        names[s.target] = s.target + "_" + std::to_string(below(9));
        s.target = names[s.target];
      }
    }
    number_parts(w);
    return w;
  }

  int below(int n) { return int(random_() % unsigned(n)); }

 private:
  void forget(const std::string& name) {
    for (auto* names : {&channels_, &tokens_})
      for (size_t i = names->size(); i-- > 0;)
        if ((*names)[i] == name) names->erase(names->begin() + long(i));
  }

  Expr number() {
    const double numbers[] = {2, 0.5, -1, 3, 0.25, -2};
    return wire::number(numbers[below(6)]);
  }

  Expr token(int depth) {
    if (!tokens_.empty() && below(3) == 0)
      return wire::name(tokens_[size_t(below(int(tokens_.size())))]);
    Expr e = below(2) == 0 ? wire::mean(channels(depth - 1)) : wire::sum(channels(depth - 1));
    return below(2) == 0 ? wire::sigmoid(std::move(e)) : e;
  }

  Expr channels(int depth) {
    const int what = depth <= 0 ? 0 : below(13);
    const auto inner = [&] { return channels(depth - 1); };
    switch (what) {
      case 1:
      case 2:
      case 3: {
        Expr a = inner();
        return std::move(a) + inner();
      }
      case 4: {
        Expr a = inner();
        return std::move(a) - inner();
      }
      case 5: {
        Expr a = inner();
        return std::move(a) * inner();
      }
      case 6:
        return number() * inner();
      case 7:
        return inner() / number();
      case 8: {
        Expr x = inner();
        const int sources = below(4);
        if (sources > 1) return wire::attention(std::move(x), below(2));
        Expr v = inner();
        if (sources == 1) return wire::attention(std::move(x), std::move(v), below(2));
        return wire::attention(std::move(x), inner(), std::move(v), below(2));
      }
      case 9:
        return wire::mlp(inner(), below(2));
      case 10:
        return wire::norm(inner(), below(2));
      case 11: {
        Expr a = token(depth - 1);
        return std::move(a) * inner();
      }
      case 12:
        return wire::sigmoid(inner());
      default:
        return wire::name(channels_[size_t(below(int(channels_.size())))]);
    }
  }

  Expr otherwise(const Expr& e, const std::map<std::string, std::string>& names, bool exchange) {
    Expr out = e;
    for (Expr& arg : out.args) arg = otherwise(arg, names, exchange);
    const bool part = e.op == Expr::kAttention || e.op == Expr::kMlp || e.op == Expr::kNorm;
    if (part && exchange) out.part = 1 - e.part;
    if (e.op == Expr::kName && names.count(e.name) > 0) out.name = names.at(e.name);
    if ((e.op == Expr::kAdd || e.op == Expr::kMultiply) && below(2) == 0)
      std::swap(out.args[0], out.args[1]);
    if (e.op == Expr::kSubtract && below(2) == 0)
      out = out.args[0] + wire::number(-1) * out.args[1];
    if (e.op == Expr::kDivide && below(2) == 0 && out.args[1].op == Expr::kNumber)
      out = wire::number(1 / out.args[1].number) * out.args[0];
    // (a + b) + c = a + (b + c)
    if (e.op == Expr::kAdd && out.args[0].op == Expr::kAdd && below(2) == 0)
      out = out.args[0].args[0] + (out.args[0].args[1] + out.args[1]);
    return out;
  }

  // From 0 without gaps, as they come.
  static void number_parts(Wiring& w) {
    std::map<Expr::Op, std::map<int, int>> numbers;
    for (Statement& s : w.statements) number_parts(s.value, numbers);
  }
  static void number_parts(Expr& e, std::map<Expr::Op, std::map<int, int>>& numbers) {
    if (e.op == Expr::kAttention || e.op == Expr::kMlp || e.op == Expr::kNorm) {
      auto& of_kind = numbers[e.op];
      e.part = of_kind.emplace(e.part, int(of_kind.size())).first->second;
    }
    for (Expr& arg : e.args) number_parts(arg, numbers);
  }

  std::mt19937 random_;
  std::vector<std::string> channels_, tokens_;
};

}  // namespace fathom::testing
