// What objectives may name, and those that have a name.
#include "fathom/model/spec/objective.h"

namespace fathom {
namespace {

constexpr std::string_view kPrev = "prev.";

ObjectiveSignal signal(const char* name, const char* help) {
  ObjectiveSignal s = {};
  s.name = name;
  s.help = help;
  return s;
}

ObjectiveSignal with(ObjectiveSignal s, bool ObjectiveSignal::*flag) {
  s.*flag = true;
  return s;
}

std::vector<ObjectiveSignal> all_signals() {
  constexpr auto before = &ObjectiveSignal::before, halting = &ObjectiveSignal::halting,
                 previous = &ObjectiveSignal::previous, prev = &ObjectiveSignal::may_be_prev,
                 all_before = &ObjectiveSignal::all_before;
  const auto learned = [](const char* name, const char* help) {
    return with(signal(name, help), &ObjectiveSignal::learns);
  };
  return {
      with(learned("ce", "-ln p of the target, by the walk's own weights"), prev),
      with(learned("p", "probability of the target, by the judge"), prev),
      with(learned("p_max", "largest probability, by the judge"), prev),
      with(signal("has_target", "1 where the row has a target"), before),
      with(signal("valid", "1 where the row is text"), before),
      with(signal("has_next", "1 where a next row of the same text follows"), before),
      with(with(signal("asked", "1 where the row has not halted before"), before), prev),
      with(with(signal("halts", "1 where it is asked and halts here"), halting), prev),
      with(with(signal("survives", "1 where it is asked and does not halt here"), halting), prev),
      with(signal("answers", "1 where it halts here, or is asked at the last layer"), prev),
      with(signal("agrees", "1 where the likeliest token is that of the layer before"), previous),
      with(with(learned("expected_asked",
                        "product of 1 - p_max of the layers before, their own (p_max at "
                        "most halt_cap, without confidence_temperature)"),
                all_before),
           before),
      with(learned("expected_halts", "expected_asked * p_max; at the last layer expected_asked"),
           all_before),
      learned("carry2", "mean square of the stream behind the layer"),
      with(learned("prev_next_dot",
                   "mean over channels of n of the layer before, at the next "
                   "position, times n"),
           previous),
      with(learned("prev_token_ln_p", "ln p of what the layer before says at the next position"),
           previous),
      with(signal("i", "the layer's number"), before),
      with(signal("L", "number of layers"), before),
  };
}

}  // namespace

const std::vector<ObjectiveSignal>& objective_signals() {
  static const std::vector<ObjectiveSignal> signals = all_signals();
  return signals;
}

const ObjectiveSignal* find_signal(std::string_view name) {
  for (const ObjectiveSignal& s : objective_signals())
    if (name == s.name) return &s;
  return nullptr;
}

bool is_prev(std::string_view name) {
  return name.substr(0, kPrev.size()) == kPrev;
}

std::string_view bare(std::string_view name) {
  return is_prev(name) ? name.substr(kPrev.size()) : name;
}

bool mentions(const Expr& e, std::string_view signal) {
  return any_name(e, true, [&](std::string_view name) { return bare(name) == signal; });
}

bool learns(const Expr& e) {
  return any_name(e, false, [](std::string_view name) {
    const ObjectiveSignal* s = find_signal(bare(name));
    return s != nullptr && s->learns;
  });
}

bool is_known_before(const Expr& e) {
  return !any_name(e, true, [](std::string_view name) {
    const ObjectiveSignal* s = find_signal(name);
    return !is_prev(name) && (s == nullptr || !s->before);
  });
}

bool needs_all_before(const Expr& e) {
  return any_name(e, true, [](std::string_view name) {
    const ObjectiveSignal* s = find_signal(name);
    return s != nullptr && s->all_before;
  });
}

bool needs_previous(const Expr& e) {
  return any_name(e, true, [](std::string_view name) {
    const ObjectiveSignal* s = find_signal(bare(name));
    if (s == nullptr) return false;
    // Nobody has halted before the first layer: that is known of prev.asked and its like.
    return s->previous || (is_prev(name) && s->learns);
  });
}

// clang-format off
const std::vector<NamedObjective>& named_objectives() {
  static const std::vector<NamedObjective> objectives = {
    {"last", "loss = ce [layers=last]", "the last layer's loss"},
    {"all", "loss = ce [layers=all, reduce=mean]", "every layer's"},
    {"skip_easy", "loss = ce*asked [layers=all, reduce=mean, per=asked]", "a layer's on what no layer before it answered"},
    {"expected", "loss = ce*expected_halts [layers=all]", "halting in expectation, with a gradient into when"},
    {"ponder", "loss = ce*expected_halts [layers=all]; ponder = 0.01*expected_asked [layers=all]", "with a price for every layer that is asked"},
    {"last_penalty", "loss = ce*answers [layers=0..-2]; last = 2*ce*answers [layers=last]", "answers of the last layer cost twice"},
    {"conf_1", "loss = ce [layers=last]; confidence = ln(p_max)/L [layers=0..-2, judge=self_frozen]", "1-noise: confidence is penalised"},
    {"conf_2", "loss = ce [layers=last]; confidence = ln(1 - exp(mean(ln(p_max))))/L [layers=0..-2, judge=self_frozen]", "2-test: rewarded, by the geometric mean of p over the batch"},
    {"conf_3", "confidence = ce*(-ln(1 - p_max))*survives [layers=all, judge=self_frozen]; loss = ce [layers=last]", "3-test"},
    {"conf_3_rerun", "confidence = ce*(-ln(1 - p_max))*survives [layers=all, judge=self_frozen]; loss = ce*survives [layers=last]", "3-test, run again"},
    {"conf_4", "confidence = ((ce - 1)*halts + 1)*(-ln(1 - p_max))*survives [layers=all, judge=self_frozen]; loss = ce*survives [layers=last]", "4-test: who halts does not survive, so its first factor is 1"},
    {"conf_5_text", "confidence = ((prev.ce - 1)*prev.halts + 1)*(-ln(1 - p_max))*prev.survives [layers=1..-1, judge=self_frozen]; loss = ce*prev.survives [layers=last]", "5-test as its text has it"},
    {"conf_5", "loss = ce*answers [layers=all]; confidence = (-ln(1 - p_max))*prev.survives [layers=1..-1, judge=self_frozen]", "5-test as it ran: confidence is penalised"},
    {"conf_6_1", "loss = ce*answers [layers=all]; confidence = ln(1 - p)*prev.survives [layers=1..-1, judge=next_frozen]", "6-test-1: the next layer's p of the target is rewarded; who halts is decided by the layer's own p_max, where it was the next one's (it ran with freeze_parts=block)"},
    {"conf_6_2", "loss = ce*answers [layers=all]; confidence = ln(1 - p_max)*prev.survives [layers=1..-1, judge=next_frozen]", "6-test-2: its confidence (likewise)"},
    {"prevnext_dot", "loss = ce [layers=all]; closeness = -prev_next_dot [layers=1..-1, per=next]", "7-test-4: n is drawn to the layer before's at the next position; has no lower bound"},
    {"prevnext_token", "loss = ce [layers=all]; closeness = -prev_token_ln_p [layers=1..-1, per=next]", "to say what the layer before says at the next position; bounded"},
    {"no_target", "loss = ce [layers=last]; unasked = -ln(p_max)*(1 - has_target) [layers=0..-2, per=valid, judge=next_frozen]", "rows without a target ask the next layer, and are to make it sure (of data whose rows all have targets: nothing)"},
    {"agreement", "loss = ce [layers=last]; agreement = -ln(p_max)*agrees [layers=1..-1]", "confidence where two layers agree is rewarded"},
    {"reward_sure", "loss = ce [layers=last]; sure = max(ln(1 - p_max), -5)*(p_max > 0.9) [layers=0..-2, judge=self_frozen]", "confidence is rewarded where it is high already, up to a limit"},
    {"carry_penalty", "loss = ce [layers=last]; carry = 0.001*carry2 [layers=all]", "a price for a large stream"},
  };
  return objectives;
}
// clang-format on

}  // namespace fathom
