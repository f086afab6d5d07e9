#include "fathom/model/spec/wiring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using Op = Expr::Op;

// Ordered: a binary operation has the larger of its operands' shapes.
enum class Shape { kNumber, kToken, kChannels };

struct WireValue {
  Shape shape = Shape::kNumber;
  double number = 0;  // if that is its shape: it is known
};

// Of one A[k], M[k] or N[k].
struct PartCalls {
  int times = 0;
  int column = 0;  // of the first
};

double result_of(Op op, double a, double b) {
  if (op == Op::kAdd) return a + b;
  if (op == Op::kSubtract) return a - b;
  return op == Op::kMultiply ? a * b : a / b;
}

// Weights and streams have single precision.
constexpr double kLargestNumber = std::numeric_limits<float>::max();
constexpr double kSmallestDivisor = std::numeric_limits<float>::min();

// "wiring, column 14, in `r=u*q`", as it was typed; columns are of the whole text, and 0 if there
// is none.
std::string place_in_wiring(const Statement& s, int column) {
  return fmt::format("wiring{}, in `{}`", column > 0 ? fmt::format(", column {}", column) : "",
                     escaped(s.typed.empty() ? to_text(s) : s.typed));
}

constexpr const char* kWiringHint =
    "names are r, n, y, pos and temporaries assigned before; calls are A[k](x), A[k](x, values) or "
    "A[k](x, keys, values), M[k](x), N[k](x), sigmoid(x), mean(x) and sum(x) over channels, "
    "F.name(x, ...)";

class Checker {
 public:
  explicit Checker(const Wiring& wiring) : wiring_(wiring) {}

  WiringParts check() {
    bool assigns_r = false;
    for (const Statement& s : wiring_.statements) {
      statement_ = &s;
      check_target(s);
      const WireValue value = value_of(s.value);
      if ((s.target == "r" || s.target == "y") && value.shape != Shape::kChannels)
        refuse(s.target + " needs a value with channels", s.value.column);
      if (!s.attributes.empty())
        refuse("the statements of a wiring have no attributes", s.attributes[0].column);
      values_[s.target] = value;
      if (attends(s.value))
        attended_.insert(s.target);
      else
        attended_.erase(s.target);
      assigns_r = assigns_r || s.target == "r";
      assigns_y_ = assigns_y_ || s.target == "y";
    }
    if (!assigns_r)
      misuse(fmt::format("{}: no statement assigns r",
                         statement_ == nullptr ? "wiring"
                                               : place_in_wiring(*statement_, statement_->column)),
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
    parts.unread = unread();
    for (size_t i = 0; i < parts.unread.size(); ++i) {
      const bool named = names_pos(wiring_.statements[i].value);
      parts.names_pos = parts.names_pos || named;
      parts.reads_pos = parts.reads_pos || (named && !parts.unread[i]);
    }
    return parts;
  }

 private:
  // `column`: 0, if there is no text.
  [[noreturn]] void refuse(const std::string& why, int column,
                           const std::string& hint = kWiringHint) const {
    misuse(fmt::format("{}: {}", place_in_wiring(*statement_, column), why), hint);
  }

  void check_target(const Statement& s) const {
    if (s.target == "n")
      refuse("n is computed at the block's door and cannot be assigned", s.column);
    if (s.target == "pos")
      refuse("pos is the position's row of the table of positions and cannot be assigned", s.column,
             "give the value another name");
    // Names of what else a walk shows (walk/observer.h).
    if (s.target == "door" || s.target == "head")
      refuse(s.target + " cannot be assigned: a walk shows something else by that name", s.column);
    if (!is_formula_name(s.target))
      refuse(quoted_start(s.target) + " cannot be assigned: it is no name", s.column,
             "a name has letters, digits and _, and does not begin with a digit");
    if (s.target.find('.') != std::string::npos)
      refuse(quoted_start(s.target) + " cannot be assigned", s.column,
             "a name that is assigned has no dots");
  }

  WireValue value_of(const Expr& e) {
    switch (e.op) {
      case Op::kName:
        return value_of_name(e);
      case Op::kNumber:
        return in_range({Shape::kNumber, e.number}, e);
      case Op::kAdd:
      case Op::kSubtract:
      case Op::kMultiply:
      case Op::kDivide:
        return value_of_operation(e);
      case Op::kAttention:
        return value_of_part(e, attentions_, 3);
      case Op::kMlp:
        return value_of_part(e, mlps_, 1);
      case Op::kNorm:
        return value_of_part(e, norms_, 1);
      case Op::kFunction:
        if (e.name.empty()) refuse("a function needs a name", e.column);
        for (const Expr& arg : e.args) require_channels(arg);
        functions_.insert(e.name);
        return {Shape::kChannels};
      case Op::kCall:
        return value_of_call(e);
      case Op::kGreater:
        break;
    }
    refuse("a wiring compares nothing", e.column);
  }

  WireValue value_of_name(const Expr& e) {
    const auto known = values_.find(e.name);
    if (known == values_.end()) {
      refuse(escaped(e.name) + " has no value here", e.column, hint_for(e.name));
    }
    reads_y_ = reads_y_ || (e.name == "y" && !assigns_y_);
    return known->second;
  }

  // Of a name without a value. Names of one letter resemble all others.
  std::string hint_for(const std::string& name) const {
    if (name == "A" || name == "M" || name == "N")
      return fmt::format("{} is a call: {}({})", name, name, name == "N" ? "r" : "n");
    std::vector<std::string> names;
    for (const auto& [known, value] : values_) names.push_back(known);
    const std::string nearest = name.size() > 1 ? nearest_name(name, names) : "";
    return nearest.empty() ? kWiringHint : fmt::format("did you mean {}?", escaped(nearest));
  }

  WireValue value_of_operation(const Expr& e) {
    expect_arguments(e, 2, 2);
    const WireValue a = value_of(e.args[0]), b = value_of(e.args[1]);
    if (e.op == Op::kDivide && b.shape != Shape::kNumber)
      refuse(escaped(to_text(e.args[1])) + " is no number to divide by", e.column,
             "a channel of it may be 0: multiply by what you make bounded, as sigmoid does");
    if (e.op == Op::kDivide && b.number == 0) refuse("it divides by 0", e.column);
    if (e.op == Op::kDivide && std::abs(b.number) < kSmallestDivisor)
      refuse(
          fmt::format("{} is too small to divide by", escaped(to_text(e.args[1]))), e.column,
          fmt::format("values have single precision: divide by {:.3g} or more", kSmallestDivisor));
    const Shape shape = std::max(a.shape, b.shape);
    if (shape != Shape::kNumber) return {shape};
    return in_range({shape, result_of(e.op, a.number, b.number)}, e);
  }

  WireValue value_of_call(const Expr& e) {
    const bool sigmoid = e.name == "sigmoid";
    if (!sigmoid && e.name != "mean" && e.name != "sum")
      refuse(fmt::format("a wiring has no call {}", escaped(e.name)), e.column);
    expect_arguments(e, 1, 1);
    if (!sigmoid) {
      require_channels(e.args[0]);
      return {Shape::kToken};
    }
    const WireValue x = value_of(e.args[0]);
    return {x.shape, 1 / (1 + std::exp(-x.number))};
  }

  WireValue value_of_part(const Expr& e, std::map<int, PartCalls>& parts, size_t most) {
    expect_arguments(e, 1, most);
    for (const Expr& arg : e.args) require_channels(arg);
    if (e.part < 0) refuse(fmt::format("part {} does not exist", e.part), e.column);
    PartCalls& calls = parts[e.part];
    if (calls.times++ == 0) calls.column = e.column;
    return {Shape::kChannels};
  }

  WireValue in_range(const WireValue& value, const Expr& e) const {
    if (!(std::abs(value.number) <= kLargestNumber))
      refuse(escaped(to_text(e)) + " is no number of single precision", e.column,
             fmt::format("numbers, and what is computed of numbers alone, are at most {:.3g}",
                         kLargestNumber));
    return value;
  }

  void require_channels(const Expr& e) {
    if (value_of(e).shape != Shape::kChannels)
      refuse(escaped(to_text(e)) + " has no channels", e.column);
  }

  void expect_arguments(const Expr& e, size_t least, size_t most) const {
    if (e.args.size() < least || e.args.size() > most)
      refuse(
          fmt::format("an operation has {} arguments, it takes {}", e.args.size(),
                      least == most ? std::to_string(most) : fmt::format("{} to {}", least, most)),
          e.column);
  }

  // The value depends on an attention's output.
  bool attends(const Expr& e) {
    const bool is_attention = e.op == Op::kAttention;
    bool depends = e.op == Op::kName && attended_.count(e.name) > 0;
    for (size_t i = 0; i < e.args.size(); ++i) {
      const bool arg_depends = attends(e.args[i]);
      depends = arg_depends || depends;
      if (is_attention && i >= first_key_argument(e)) keys_alone_ = keys_alone_ && !arg_depends;
    }
    return is_attention || depends;
  }

  std::vector<bool> makes_keys() const {
    std::vector<bool> makes(wiring_.statements.size());
    std::set<std::string> names;  // that keys of later statements are made of
    for (size_t i = makes.size(); i-- > 0;) {
      const Statement& s = wiring_.statements[i];
      makes[i] = names.erase(s.target) > 0;
      add_names(s.value, /*keys_only=*/!makes[i], names);
    }
    return makes;
  }

  std::vector<bool> unread() const {
    std::vector<bool> unread(wiring_.statements.size());
    std::set<std::string> names = {"r"};  // whose values are read later
    if (reads_y_) names.insert("y");
    for (size_t i = unread.size(); i-- > 0;) {
      const Statement& s = wiring_.statements[i];
      unread[i] = names.erase(s.target) == 0;
      if (!unread[i]) add_names(s.value, /*keys_only=*/false, names);
    }
    return unread;
  }

  static bool names_pos(const Expr& e) {
    return (e.op == Op::kName && e.name == "pos") ||
           std::any_of(e.args.begin(), e.args.end(), names_pos);
  }

  // Names that the expression reads; with `keys_only`, that the keys in it are made of.
  static void add_names(const Expr& e, bool keys_only, std::set<std::string>& names) {
    if (e.op == Op::kName && !keys_only) names.insert(e.name);
    for (size_t i = 0; i < e.args.size(); ++i) {
      const bool of_keys = e.op == Op::kAttention && i >= first_key_argument(e);
      add_names(e.args[i], keys_only && !of_keys, names);
    }
  }

  // How many there are; and how often each is called.
  static int count(const std::map<int, PartCalls>& parts, const char* letter,
                   std::vector<int>& calls) {
    const int largest = parts.empty() ? -1 : parts.rbegin()->first;
    if (largest + 1 != static_cast<int>(parts.size())) {
      const int column = parts.rbegin()->second.column;
      misuse(fmt::format("wiring{}: {}[{}] is called but not all before it",
                         column > 0 ? fmt::format(", column {}", column) : "", letter, largest),
             "parts are numbered from 0 without gaps: an uncalled one would have no use");
    }
    for (const auto& [part, of_part] : parts) calls.push_back(of_part.times);
    return largest + 1;
  }

  const Wiring& wiring_;
  const Statement* statement_ = nullptr;
  std::map<std::string, WireValue> values_ = {{"r", {Shape::kChannels}},
                                              {"n", {Shape::kChannels}},
                                              {"y", {Shape::kChannels}},
                                              {"pos", {Shape::kChannels}}};
  std::map<int, PartCalls> attentions_, mlps_, norms_;  // by part
  std::set<std::string> functions_;
  std::set<std::string> attended_;  // names whose values depend on an attention's output
  bool reads_y_ = false, assigns_y_ = false, keys_alone_ = true;
};

// f(e) for each call of a part in an expression.
template <class F>
void each_part_call(const Expr& e, const F& f) {
  if (e.op == Op::kAttention || e.op == Op::kMlp || e.op == Op::kNorm) f(e);
  for (const Expr& arg : e.args) each_part_call(arg, f);
}

using CalledParts = std::set<std::pair<Op, int>>;

// Parts whose values are read in the end.
CalledParts read_parts(const Wiring& wiring) {
  CalledParts read;
  const std::vector<bool> unread = check_wiring(wiring).unread;
  for (size_t i = 0; i < unread.size(); ++i)
    if (!unread[i])
      each_part_call(wiring.statements[i].value, [&](const Expr& e) {
        read.insert({e.op, e.part});
      });
  return read;
}

void require_read_parts(const Wiring& wiring) {
  const CalledParts read = read_parts(wiring);
  for (const Statement& s : wiring.statements)
    each_part_call(s.value, [&](const Expr& e) {
      if (read.count({e.op, e.part}) > 0) return;
      misuse(fmt::format("{}: nothing reads what {} gives", place_in_wiring(s, e.column),
                         escaped(to_text(e))),
             "read it, or leave it out: such a part would have parameters that never learn");
    });
}

// An attention that compares nothing reads its values alone.
void drop_queries(Expr& e, const std::vector<bool>& compares) {
  for (Expr& arg : e.args) drop_queries(arg, compares);
  if (e.op == Op::kAttention && !compares.at(static_cast<size_t>(e.part)))
    e.args.erase(e.args.begin(), e.args.end() - 1);
}

}  // namespace

Wiring without_queries(Wiring wiring, const std::vector<bool>& compares) {
  for (Statement& s : wiring.statements) drop_queries(s.value, compares);
  return wiring;
}

void require_read_queries(const Wiring& wiring, const std::vector<bool>& compares) {
  const CalledParts read = read_parts(without_queries(wiring, compares));
  // What nobody reads in any case is not for the scores to tell.
  const CalledParts usually = read_parts(wiring);
  for (const Statement& s : wiring.statements)
    each_part_call(s.value, [&](const Expr& e) {
      if (read.count({e.op, e.part}) > 0 || usually.count({e.op, e.part}) == 0) return;
      misuse(fmt::format("{}: {} makes queries or keys, which attn_scores = uniform and fixed do "
                         "not read",
                         place_in_wiring(s, e.column), escaped(to_text(e))),
             "take attn_scores = softmax or sigmoid, or leave it out: such a part would have "
             "parameters that never learn");
    });
}

size_t first_key_argument(const Expr& attention) {
  return attention.args.size() > 2 ? 1 : 0;
}

WiringParts check_wiring(const Wiring& wiring) {
  return Checker(wiring).check();
}

std::string to_text(const Wiring& wiring) {
  return to_text(wiring.statements);
}

Wiring parse_wiring(std::string_view text, const std::string& what) {
  Wiring wiring{parse_formula(text, what)};
  require_read_parts(wiring);
  return wiring;
}

Wiring pre_norm_wiring() {
  using namespace wire;
  return {{{"r", name("r") + attention(name("n"))}, {"r", name("r") + mlp(norm(name("r")))}}};
}

}  // namespace fathom
