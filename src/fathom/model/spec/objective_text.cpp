// Objectives read and printed.
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/lines.h"
#include "fathom/base/random.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/objective.h"

namespace fathom {
namespace {

using Op = Expr::Op;

struct Word {
  const char* text;
  int value;
};
constexpr Word kJudges[] = {{"self", TermRule::kSelf},
                            {"self_frozen", TermRule::kSelfFrozen},
                            {"next_frozen", TermRule::kNextFrozen}};
constexpr Word kPers[] = {{"targets", TermRule::kTargets},   {"valid", TermRule::kValid},
                          {"next", TermRule::kNext},         {"has_target", TermRule::kHasTarget},
                          {"asked", TermRule::kAsked},       {"halts", TermRule::kHalts},
                          {"survives", TermRule::kSurvives}, {"answers", TermRule::kAnswers}};
constexpr Word kReductions[] = {{"sum", 0}, {"mean", 1}};

[[noreturn]] void refuse(int column, const std::string& why, const std::string& hint) {
  misuse(column > 0 ? fmt::format("objective, column {}: {}", column, why)
                    : fmt::format("objective: {}", why),
         hint);
}

// Cut, for messages.
std::string shown(const Expr& e) {
  return escaped(to_text(e));
}

template <size_t N>
int value_of(const Word (&words)[N], const Attribute& a) {
  std::vector<std::string> names;
  for (const Word& word : words) {
    if (a.text == word.text) return word.value;
    names.emplace_back(word.text);
  }
  refuse(a.column, fmt::format("{}={} is none", a.name, escaped(a.text)),
         suggestion(a.text, names));
}

template <size_t N>
const char* word_of(const Word (&words)[N], int value) {
  for (const Word& word : words)
    if (word.value == value) return word.text;
  return "";
}

// Of the language of wirings alone.
bool is_of_wirings(std::string_view call) {
  return call == "sigmoid" || call == "sum";
}

// What values are of: no row in particular, a row, or all rows of the step.
enum class Shape { kNumber, kRow, kStep };

class Checker {
 public:
  explicit Checker(const Statement& statement) : statement_(statement) {}

  void check() const {
    const Expr& e = statement_.value;
    if (shape_of(e) == Shape::kNumber)
      refuse(statement_.column,
             fmt::format("{} = {} is a number, whatever the model says", escaped(statement_.target),
                         shown(e)),
             "a term is of signals of rows, such as ce, or of means of them");
    if (!learns(e))
      refuse(statement_.column,
             fmt::format("{} = {} has no gradient: it teaches nothing", escaped(statement_.target),
                         shown(e)),
             "ce, p and p_max have one, where they are not within stop() or beside >");
  }

 private:
  Shape shape_of(const Expr& e) const {
    switch (e.op) {
      case Op::kNumber:
        return Shape::kNumber;
      case Op::kName:
        return shape_of_name(e);
      case Op::kAdd:
      case Op::kSubtract:
      case Op::kMultiply:
      case Op::kDivide:
      case Op::kGreater:
        expect_arguments(e, 2);
        return joined(e);
      case Op::kCall:
        return shape_of_call(e);
      case Op::kAttention:
      case Op::kMlp:
      case Op::kNorm:
      case Op::kFunction:
        break;
    }
    refuse_wiring(e);
  }

  [[noreturn]] static void refuse_wiring(const Expr& e) {
    refuse(e.column, fmt::format("{} is of wirings, not of objectives", shown(e)),
           "calls are ln, exp, min, max, stop, mean");
  }

  static Shape shape_of_name(const Expr& e) {
    const ObjectiveSignal* s = find_signal(bare(e.name));
    if (s == nullptr || (is_prev(e.name) && !s->may_be_prev)) {
      std::vector<std::string> names;
      for (const ObjectiveSignal& known : objective_signals()) {
        names.emplace_back(known.name);
        if (known.may_be_prev) names.push_back(std::string("prev.") + known.name);
      }
      refuse(e.column, fmt::format("there is no signal {}", escaped(e.name)),
             suggestion(e.name, names));
    }
    return e.name == "i" || e.name == "L" ? Shape::kNumber : Shape::kRow;
  }

  Shape shape_of_call(const Expr& e) const {
    if (e.name == "min" || e.name == "max") {
      expect_arguments(e, 2);
      return joined(e);
    }
    if (is_of_wirings(e.name)) refuse_wiring(e);
    if (e.name != "ln" && e.name != "exp" && e.name != "stop" && e.name != "mean")
      refuse(e.column, fmt::format("there is no {}(...)", escaped(e.name)),
             "calls are ln, exp, min, max, stop, mean");
    expect_arguments(e, 1);
    const Shape shape = shape_of(e.args[0]);
    if (e.name != "mean") return shape;
    if (shape != Shape::kRow)
      refuse(e.column, fmt::format("{} is no mean over rows", shown(e)),
             "mean(x) is of signals of rows, such as p_max");
    return Shape::kStep;
  }

  Shape joined(const Expr& e) const {
    const Shape a = shape_of(e.args[0]), b = shape_of(e.args[1]);
    if (a != Shape::kNumber && b != Shape::kNumber && a != b)
      refuse(e.column,
             fmt::format("{} joins what is of single rows with a mean over all of them", shown(e)),
             "a term is of rows, or a function of means: mean(x)*mean(y), not x*mean(y)");
    return std::max(a, b);
  }

  static void expect_arguments(const Expr& e, size_t count) {
    if (e.args.size() == count) return;
    refuse(e.column, fmt::format("{} has {} arguments", shown(e), e.args.size()),
           fmt::format("it takes {}", count == 1 ? "one" : "two"));
  }

  const Statement& statement_;
};

int64_t whole_number(const Attribute& a, std::string_view text) {
  const std::string_view digits = trim(text);
  const std::optional<int64_t> number = parse_number<int64_t>(digits);
  if (!number || digits.size() > 8)
    refuse(a.column,
           fmt::format("{}={}: {} is no whole number", a.name, escaped(a.text), in_quotes(digits)),
           "numbers are like 3, or -2 from the end");
  return *number;
}

// The parts of "[a, b]".
std::vector<std::string> entries(const Attribute& a) {
  const std::string_view text = trim(a.text);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']')
    refuse(a.column, fmt::format("{}={} is no list", a.name, escaped(a.text)),
           fmt::format("write {}=[0, 2]", a.name));
  std::vector<std::string> out;
  std::string_view rest = text.substr(1, text.size() - 2);
  for (;;) {
    const size_t comma = rest.find(',');
    out.emplace_back(trim(rest.substr(0, comma)));
    if (comma == std::string_view::npos) return out;
    rest = rest.substr(comma + 1);
  }
}

void read_layers(const Attribute& a, LayerChoice& layers) {
  const size_t dots = a.text.find("..");
  if (a.text == "last" || a.text == "all") {
    layers.kind = a.text == "all" ? LayerChoice::kAll : LayerChoice::kLast;
  } else if (dots != std::string::npos) {
    layers.kind = LayerChoice::kRange;
    layers.from = whole_number(a, std::string_view(a.text).substr(0, dots));
    layers.to = whole_number(a, std::string_view(a.text).substr(dots + 2));
  } else {
    layers.kind = LayerChoice::kList;
    const bool is_word = a.text.find_first_of("[-0123456789") != 0;
    if (is_word)
      refuse(a.column,
             fmt::format("layers={}: {} is no whole number", escaped(a.text), in_quotes(a.text)),
             "layers are last, all, 2, 0..-2 or [0, 2], negative ones from the end");
    if (a.text.front() != '[') {
      layers.list = {whole_number(a, a.text)};
      return;
    }
    for (const std::string& entry : entries(a)) layers.list.push_back(whole_number(a, entry));
  }
}

// A number as the formula language reads it, -0.5 too.
double number_of(const Attribute& a, const std::string& text) {
  const auto refuse_it = [&] {
    refuse(a.column,
           fmt::format("{}={}: {} is no number", a.name, escaped(a.text), in_quotes(text)),
           "numbers are like 0.5");
  };
  try {
    const std::vector<Statement> read = parse_formula("x = " + text, "");
    if (read.size() == 1 && read[0].attributes.empty() && read[0].value.op == Op::kNumber &&
        std::isfinite(read[0].value.number))
      return read[0].value.number;
  } catch (const Error&) {
  }
  refuse_it();
  return 0;
}

void read_attribute(const Attribute& a, ObjectiveTerm& term) {
  if (a.name == "layers") return read_layers(a, term.layers);
  if (a.name == "weights") {
    for (const std::string& entry : entries(a)) term.layers.weights.push_back(number_of(a, entry));
  } else if (a.name == "reduce") {
    term.mean = value_of(kReductions, a) == 1;
  } else if (a.name == "per") {
    term.per = static_cast<TermRule::Per>(value_of(kPers, a));
  } else if (a.name == "judge") {
    term.judge = static_cast<TermRule::Judge>(value_of(kJudges, a));
  } else if (a.name == "reach") {
    term.reach = whole_number(a, a.text);
    if (term.reach < 1)
      refuse(a.column, fmt::format("reach={} goes through no layer", term.reach),
             "reach=1 teaches the layer that is asked alone; left out, all before it learn");
  } else {
    refuse(a.column, fmt::format("there is no attribute {}", escaped(a.name)),
           suggestion(a.name, {"layers", "weights", "reduce", "per", "judge", "reach"}));
  }
}

ObjectiveTerm term_of(const Statement& s) {
  if (s.target.find('.') != std::string::npos || s.target == "halting_gate")
    refuse(s.column, fmt::format("a term cannot be called {}", escaped(s.target)),
           "a name has letters, digits and _; halting_gate is the loss of gates of loops");
  Checker(s).check();
  ObjectiveTerm term;
  term.name = s.target;
  term.value = s.value;
  std::set<std::string> seen;
  for (const Attribute& a : s.attributes) {
    if (!seen.insert(a.name).second)
      refuse(a.column, fmt::format("{} is given twice", escaped(a.name)), "take one of them out");
    read_attribute(a, term);
  }
  if (term.reach > 0) check_reach(term);
  return term;
}

std::string shown(const std::vector<double>& numbers) {
  std::vector<std::string> out;
  for (const double x : numbers) out.push_back(fmt::format("{}", x));
  return "[" + join(out, ", ") + "]";
}

std::string text_of(const LayerChoice& layers) {
  switch (layers.kind) {
    case LayerChoice::kLast:
      return "last";
    case LayerChoice::kAll:
      return "all";
    case LayerChoice::kRange:
      return fmt::format("{}..{}", layers.from, layers.to);
    case LayerChoice::kList:
      break;
  }
  std::vector<std::string> out;
  for (const int64_t layer : layers.list) out.push_back(std::to_string(layer));
  return "[" + join(out, ", ") + "]";
}

}  // namespace

Objective parse_objective(const std::string& text) {
  const std::string name(trim(text));
  for (const NamedObjective& named : named_objectives())
    if (name == named.name) return parse_objective(named.text);
  if (is_formula_name(name)) {
    std::vector<std::string> names;
    for (const NamedObjective& named : named_objectives()) names.emplace_back(named.name);
    const std::string hint = suggestion(name, names);
    misuse(fmt::format("objective = {} is no objective", escaped(name)),
           hint + (hint.back() == '?' ? " A formula is like" : ", or a formula like") +
               " `loss = ce [layers=all]`");
  }
  Objective objective;
  std::set<std::string> names;
  for (const Statement& s : parse_formula(text, "objective")) {
    objective.terms.push_back(term_of(s));
    if (!names.insert(s.target).second)
      refuse(s.column, fmt::format("there are two terms {}", escaped(s.target)),
             "each has a name of its own, under which its value is told");
  }
  if (objective.terms.empty())
    misuse("objective is empty: nothing would be trained",
           "write one term at least, such as `loss = ce`");
  return objective;
}

std::string to_text(const Objective& objective) {
  std::vector<Statement> statements;
  for (const ObjectiveTerm& term : objective.terms) {
    Statement s = {term.name, term.value};
    s.attributes.push_back({"layers", text_of(term.layers)});
    if (!term.layers.weights.empty())
      s.attributes.push_back({"weights", shown(term.layers.weights)});
    if (term.mean) s.attributes.push_back({"reduce", "mean"});
    if (term.per != TermRule::kTargets) s.attributes.push_back({"per", word_of(kPers, term.per)});
    if (term.judge != TermRule::kSelf)
      s.attributes.push_back({"judge", word_of(kJudges, term.judge)});
    if (term.reach > 0) s.attributes.push_back({"reach", std::to_string(term.reach)});
    statements.push_back(std::move(s));
  }
  return to_text(statements);
}

std::string objective_hash(const Objective& objective) {
  return fmt::format("{:016x}", name_hash(to_text(objective)));
}

}  // namespace fathom
