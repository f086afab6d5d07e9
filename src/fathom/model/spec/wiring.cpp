#include "fathom/model/spec/wiring.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using Op = WireExpr::Op;

WireExpr call(Op op, std::vector<WireExpr> args, int part = 0) {
  WireExpr e;
  e.op = op;
  e.args = std::move(args);
  e.part = part;
  return e;
}

std::string called(const char* letter, int part) {
  return part == 0 ? letter : fmt::format("{}[{}]", letter, part);
}

std::string arguments(const WireExpr& e);

std::string parenthesised(const std::string& text, bool really) {
  return really ? "(" + text + ")" : text;
}

// How tightly a place binds: what binds less stands in parentheses there. Operations are read from
// the left, so an operand on the right binds more than one on the left.
enum Binding { kSum, kProduct, kAtom };

std::string text_of(const WireExpr& e, Binding binds = kSum) {
  const auto binary = [&](const char* sign, Binding left, Binding right) {
    if (e.args.size() != 2) return std::string("?");  // for the message that refuses it
    return text_of(e.args[0], left) + sign + text_of(e.args[1], right);
  };
  switch (e.op) {
    case Op::kName:
      return e.name;
    case Op::kNumber:
      return fmt::format("{}", e.number);
    case Op::kAdd:
      return parenthesised(binary(" + ", kSum, kProduct), binds > kSum);
    case Op::kSubtract:
      return parenthesised(binary(" - ", kSum, kProduct), binds > kSum);
    case Op::kMultiply:
      return parenthesised(binary("*", kProduct, kAtom), binds > kProduct);
    case Op::kAttention:
      return called("A", e.part) + arguments(e);
    case Op::kMlp:
      return called("M", e.part) + arguments(e);
    case Op::kNorm:
      return called("N", e.part) + arguments(e);
    case Op::kSigmoid:
      return "sigmoid" + arguments(e);
    case Op::kMean:
      return "mean" + arguments(e);
    case Op::kFunction:
      return "F." + e.name + arguments(e);
  }
  return "";
}

std::string arguments(const WireExpr& e) {
  std::string out = "(";
  for (size_t i = 0; i < e.args.size(); ++i) out += (i > 0 ? ", " : "") + text_of(e.args[i]);
  return out + ")";
}

std::string text_of(const WireStatement& s) {
  return s.target + " = " + text_of(s.value);
}

// Ordered: a binary operation has the larger of its operands' shapes.
enum class Shape { kNumber, kToken, kChannels };

class Checker {
 public:
  explicit Checker(const Wiring& wiring) : wiring_(wiring) {}

  WiringParts check() {
    bool assigns_r = false;
    for (const WireStatement& s : wiring_.statements) {
      statement_ = &s;
      if (s.target == "n") refuse("n is computed at the block's door and cannot be assigned");
      // Names of what else a walk shows (walk/observer.h).
      if (s.target == "door" || s.target == "head")
        refuse(s.target + " cannot be assigned: a walk shows something else by that name");
      const Shape shape = shape_of(s.value);
      if ((s.target == "r" || s.target == "y") && shape != Shape::kChannels)
        refuse(s.target + " needs a value with channels");
      shapes_[s.target] = shape;
      if (attends(s.value))
        attended_.insert(s.target);
      else
        attended_.erase(s.target);
      assigns_r = assigns_r || s.target == "r";
    }
    if (!assigns_r)
      misuse(fmt::format("wiring `{}` does not assign r", to_text(wiring_)),
             "the last word of a block is r = ...");
    WiringParts parts;
    parts.attentions = count(attentions_, "A", parts.calls_of_attention);
    parts.mlps = count(mlps_, "M", parts.calls_of_mlp);
    parts.norms = count(norms_, "N", parts.calls_of_norm);
    for (const int calls : parts.calls_of_attention) parts.attention_calls += calls;
    parts.functions = functions_;
    parts.reads_y = reads_y_;
    parts.keys_alone = keys_alone_;
    parts.makes_keys = makes_keys();
    return parts;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    misuse(fmt::format("wiring `{}`: {}", text_of(*statement_), why),
           "names are r, n, y and temporaries assigned before; calls are A, M, N, sigmoid, mean, "
           "F.name");
  }

  Shape shape_of(const WireExpr& e) {
    switch (e.op) {
      case Op::kName: {
        const auto known = shapes_.find(e.name);
        if (known == shapes_.end()) refuse(e.name + " has no value here");
        reads_y_ = reads_y_ || e.name == "y";
        return known->second;
      }
      case Op::kNumber:
        return Shape::kNumber;
      case Op::kAdd:
      case Op::kSubtract:
      case Op::kMultiply:
        expect_arguments(e, 2, 2);
        return std::max(shape_of(e.args[0]), shape_of(e.args[1]));
      case Op::kAttention:
        return part_shape(e, attentions_, 2);
      case Op::kMlp:
        return part_shape(e, mlps_, 1);
      case Op::kNorm:
        return part_shape(e, norms_, 1);
      case Op::kSigmoid:
        expect_arguments(e, 1, 1);
        return shape_of(e.args[0]);
      case Op::kMean:
        expect_arguments(e, 1, 1);
        require_channels(e.args[0]);
        return Shape::kToken;
      case Op::kFunction:
        if (e.name.empty()) refuse("a function needs a name");
        for (const WireExpr& arg : e.args) require_channels(arg);
        functions_.insert(e.name);
        return Shape::kChannels;
    }
    return Shape::kNumber;
  }

  // The value depends on an attention's output.
  bool attends(const WireExpr& e) {
    bool depends = e.op == Op::kName && attended_.count(e.name) > 0;
    for (const WireExpr& arg : e.args) depends = attends(arg) || depends;
    if (e.op != Op::kAttention) return depends;
    keys_alone_ = keys_alone_ && !depends;
    return true;
  }

  std::vector<bool> makes_keys() const {
    std::vector<bool> makes(wiring_.statements.size());
    std::set<std::string> names;  // that keys of later statements are made of
    for (size_t i = makes.size(); i-- > 0;) {
      const WireStatement& s = wiring_.statements[i];
      makes[i] = names.erase(s.target) > 0;
      add_names(s.value, /*keys_only=*/!makes[i], names);
    }
    return makes;
  }

  // Names that the expression reads; with `keys_only`, that the keys in it are made of.
  static void add_names(const WireExpr& e, bool keys_only, std::set<std::string>& names) {
    if (e.op == Op::kName && !keys_only) names.insert(e.name);
    for (const WireExpr& arg : e.args) add_names(arg, keys_only && e.op != Op::kAttention, names);
  }

  Shape part_shape(const WireExpr& e, std::map<int, int>& parts, size_t most) {
    expect_arguments(e, 1, most);
    for (const WireExpr& arg : e.args) require_channels(arg);
    if (e.part < 0) refuse(fmt::format("part {} does not exist", e.part));
    ++parts[e.part];
    return Shape::kChannels;
  }

  void require_channels(const WireExpr& e) {
    if (shape_of(e) != Shape::kChannels) refuse(text_of(e) + " has no channels");
  }

  void expect_arguments(const WireExpr& e, size_t least, size_t most) const {
    if (e.args.size() < least || e.args.size() > most)
      refuse(fmt::format("an operation has {} arguments", e.args.size()));
  }

  // How many there are; and how often each is called.
  static int count(const std::map<int, int>& parts, const char* letter, std::vector<int>& calls) {
    const int largest = parts.empty() ? -1 : parts.rbegin()->first;
    if (largest + 1 != static_cast<int>(parts.size()))
      misuse(fmt::format("wiring calls {}[{}] but not all before it", letter, largest),
             "parts are numbered from 0 without gaps: an uncalled one would have no use");
    for (const auto& [part, times] : parts) calls.push_back(times);
    return largest + 1;
  }

  const Wiring& wiring_;
  const WireStatement* statement_ = nullptr;
  std::map<std::string, Shape> shapes_ = {
      {"r", Shape::kChannels}, {"n", Shape::kChannels}, {"y", Shape::kChannels}};
  std::map<int, int> attentions_, mlps_, norms_;  // calls by part
  std::set<std::string> functions_;
  std::set<std::string> attended_;  // names whose values depend on an attention's output
  bool reads_y_ = false, keys_alone_ = true;
};

}  // namespace

WiringParts check_wiring(const Wiring& wiring) {
  return Checker(wiring).check();
}

std::string to_text(const Wiring& wiring) {
  std::string out;
  for (const WireStatement& s : wiring.statements) out += (out.empty() ? "" : "; ") + text_of(s);
  return out;
}

Wiring pre_norm_wiring() {
  using namespace wire;
  return {{{"r", name("r") + attention(name("n"))}, {"r", name("r") + mlp(norm(name("r")))}}};
}

namespace wire {

WireExpr name(std::string name) {
  WireExpr e;
  e.op = Op::kName;
  e.name = std::move(name);
  return e;
}
WireExpr number(double number) {
  WireExpr e;
  e.number = number;
  return e;
}
WireExpr attention(WireExpr x, int part) {
  return call(Op::kAttention, {std::move(x)}, part);
}
WireExpr attention(WireExpr x, WireExpr values, int part) {
  return call(Op::kAttention, {std::move(x), std::move(values)}, part);
}
WireExpr mlp(WireExpr x, int part) {
  return call(Op::kMlp, {std::move(x)}, part);
}
WireExpr norm(WireExpr x, int part) {
  return call(Op::kNorm, {std::move(x)}, part);
}
WireExpr sigmoid(WireExpr x) {
  return call(Op::kSigmoid, {std::move(x)});
}
WireExpr mean(WireExpr x) {
  return call(Op::kMean, {std::move(x)});
}
WireExpr function(std::string name, std::vector<WireExpr> args) {
  WireExpr e = call(Op::kFunction, std::move(args));
  e.name = std::move(name);
  return e;
}

}  // namespace wire

WireExpr operator+(WireExpr a, WireExpr b) {
  return call(Op::kAdd, {std::move(a), std::move(b)});
}
WireExpr operator-(WireExpr a, WireExpr b) {
  return call(Op::kSubtract, {std::move(a), std::move(b)});
}
WireExpr operator*(WireExpr a, WireExpr b) {
  return call(Op::kMultiply, {std::move(a), std::move(b)});
}

}  // namespace fathom
