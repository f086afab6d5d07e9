// Formulas of blocks that nobody has thought of, with settings of their parts; some are wrong.
// Torch-free.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace fathom::property {

// A function of its seed.
class RandomFormula {
 public:
  explicit RandomFormula(unsigned seed) : generator_(seed) {
    const int64_t statements = any(0, 3);
    for (int64_t i = 0; i < statements; ++i) {
      static const std::vector<std::string> targets = {"a", "b", "mid", "r", "y"};
      const std::string target = one_of(targets);
      add(target, value(3));
      if (target != "r" && target != "y") names_.push_back(target);
    }
    if (!one_in(25)) add("r", one_in(5) ? value(3) : "r " + one_of({"+ ", "+ ", "- "}) + value(2));
    damage();
    choose_settings();
  }

  std::string text;
  std::vector<std::pair<std::string, std::string>> settings;

  int64_t any(int64_t from, int64_t to) {
    return std::uniform_int_distribution<int64_t>(from, to)(generator_);
  }
  bool one_in(int64_t n) { return any(1, n) == n; }

 private:
  std::string one_of(const std::vector<std::string>& all) {
    return all[static_cast<size_t>(any(0, static_cast<int64_t>(all.size()) - 1))];
  }

  void add(const std::string& target, const std::string& what) {
    text += (text.empty() ? "" : one_in(4) ? "\n" : "; ") + target + " = " + what;
  }

  // Of the size of a norm, whatever it is made of.
  std::string bounded(int64_t depth) {
    switch (any(0, 3)) {
      case 0:
        return called("A") + "(n)";
      case 1:
        return called("M") + "(n)";
      case 2:
        return called("N") + "(" + value(depth - 1) + ")";
      default:
        return "sig(" + value(depth - 1) + ")";
    }
  }

  // Parts are numbered without gaps where the first is called too, which is mostly so.
  std::string called(const char* letter) {
    return letter + std::string(one_in(12) ? "[1]" : one_in(8) ? "[0]" : "");
  }

  std::string value(int64_t depth) {
    if (depth == 0 || one_in(6)) return one_of(names_);
    const auto inner = [&] { return value(depth - 1); };
    switch (any(0, 11)) {
      case 0:
      case 1:
        return called("A") + "(" + (one_in(3) ? inner() : "n") + ")";
      case 2:
        return called("A") + "(" + one_of(names_) + ", " + inner() + ")";
      case 3:
      case 4:
        return called("M") + "(" + (one_in(2) ? "N(" + inner() + ")" : one_of(names_)) + ")";
      case 5:
        return called("N") + "(" + inner() + ")";
      case 6:
        return one_of({"sig", "sigmoid"}) + "(" + (one_in(3) ? "mean(" + inner() + ")" : inner()) +
               ")";
      case 7:
        return fmt::format("{}*{}", one_of({"2", "0.5", "-1", "1e-1"}), atom(depth));
      case 8:
        return fmt::format("{}*{}", atom(depth), bounded(depth));
      case 9:
        return inner() + " - " + atom(depth);
      case 10:
        return called("A") + "(" + inner() + ", " + one_of(names_) + ", " + inner() + ")";
      default:
        return inner() + " + " + inner();
    }
  }
  std::string atom(int64_t depth) { return "(" + value(depth - 1) + ")"; }

  // What a hand does wrong: a letter too many, too few, another one, a name of nobody.
  void damage() {
    if (!one_in(6) || text.empty()) return;
    const auto at = static_cast<size_t>(any(0, static_cast<int64_t>(text.size()) - 1));
    switch (any(0, 3)) {
      case 0:
        text.erase(at, 1);
        break;
      case 1:
        text.insert(at, one_of({"(", ")", "+", "z", "[", " = ", "n", "\xc3\xa4"}));
        break;
      case 2:
        text[at] = one_of({"*", "r", "1", "]", ";"})[0];
        break;
      default:
        text +=
            one_of({"; r = F.wish(r)", "; n = r", "; r = later", "; r = A(n, r, n, r)", "; r = 1"});
    }
  }

  void choose_settings() {
    const auto maybe = [&](const char* key, const std::vector<std::string>& values) {
      if (one_in(4)) settings.emplace_back(key, one_of(values));
    };
    maybe("share", {"one", "[0, 1]", "[0, 0]", "[1, 0]"});
    maybe("share_mlp", {"one", "free"});
    maybe("attn_value", {"linear", "concat", "sum", "mean"});
    maybe("attn_projection", {"true", "false"});
    maybe("attn_scores", {"softmax", "sigmoid", "uniform", "fixed"});
    maybe("attn_mask", {"causal", "strict", "sink"});
    maybe("attn_bias", {"true", "false"});
    maybe("mlp_hidden", {"1", "2.5"});
    maybe("mlp_activation",
          {"gelu", "gelu_tanh", "relu", "relu_squared", "silu", "sigmoid", "tanh"});
    maybe("mlp_gated", {"true", "false"});
    maybe("norm_kind", {"layer", "rms"});
    maybe("norm_affine", {"true", "false"});
    maybe("norm_ties", {"none", "last", "all", "blocks", "within"});
    maybe("positions", {"add", "mul", "none", "every_layer"});
    maybe("layer_supervision", {"all", "[0.5, 1]"});
  }

  std::mt19937 generator_;
  std::vector<std::string> names_ = {"r", "n", "n", "r", "y", "pos"};
};

}  // namespace fathom::property
