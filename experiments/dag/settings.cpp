#include "experiments/dag/settings.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "fathom/base/error.h"

namespace fathom::dag {
namespace {

template <class E>
using Names = std::vector<std::pair<std::string, E>>;

const Names<Executor>& executors() {
  static const Names<Executor> names = {{"scratch", Executor::kScratch},
                                        {"stack", Executor::kStack}};
  return names;
}
const Names<Domain>& domains() {
  static const Names<Domain> names = {{"linear", Domain::kLinear}, {"signlog", Domain::kSignLog}};
  return names;
}
const Names<Fold>& folds() {
  static const Names<Fold> names = {{"ln_scale", Fold::kLnScale}, {"gate", Fold::kGate}};
  return names;
}
const Names<Select>& selects() {
  static const Names<Select> names = {{"soft", Select::kSoft},
                                      {"gumbel", Select::kGumbel},
                                      {"gumbel_st", Select::kGumbelSt},
                                      {"st_argmax", Select::kStArgmax}};
  return names;
}
const Names<Clip>& clips() {
  static const Names<Clip> names = {
      {"clamp", Clip::kClamp}, {"tanh", Clip::kTanh}, {"none", Clip::kNone}};
  return names;
}
const Names<Targets>& targets() {
  static const Names<Targets> names = {{"token", Targets::kToken},
                                       {"sequence", Targets::kSequence}};
  return names;
}

// What a text of the settings stands for; the field's choices let nothing else through.
template <class E>
E chosen(const Names<E>& names, const OwnSettings& own, const char* key) {
  const std::string text = own.text(key);
  for (const auto& [name, value] : names)
    if (name == text) return value;
  fail(fmt::format("{} = {} is none of its choices", key, text));
}

// Adds fields over slots of `own`. Without a DAG none of them acts.
class Adder {
 public:
  Adder(FieldList& list, OwnSettings& own) : list_(list), own_(own) {}

  Field& depth(const char* key, int64_t value, const char* help) {
    return list_.add(key, own_.integer(key, value), help);
  }

  template <class E>
  Field& choice(const char* key, const Names<E>& names, const char* value, const char* help) {
    Names<std::string> spellings;
    for (const auto& [name, meaning] : names) spellings.emplace_back(name, name);
    return of_dag(list_.add<std::string>(key, own_.text(key, value), help, spellings));
  }
  Field& flag(const char* key, bool value, const char* help) {
    return of_dag(list_.add(key, own_.flag(key, value), help));
  }
  Field& integer(const char* key, int64_t value, const char* help) {
    return of_dag(list_.add(key, own_.integer(key, value), help));
  }
  Field& number(const char* key, double value, const char* help) {
    return of_dag(list_.add(key, own_.number(key, value), help));
  }
  Field& text(const char* key, const char* value, const char* help) {
    return of_dag(list_.add(key, own_.text(key, value), help));
  }
  // It acts without a DAG, too.
  Field& next_token(const char* key, double value, const char* help) {
    return list_.add(key, own_.number(key, value), help);
  }

 private:
  Field& of_dag(Field& field) {
    return field.needs("dag_depth > 0", [&own = own_] { return own.integer("dag_depth") > 0; });
  }

  FieldList& list_;
  OwnSettings& own_;
};

constexpr double kMostTemperature = 1e6, kMostWeight = 1e6;
constexpr const char* kOfStack = "dag_executor = stack";

bool is_stack(const OwnSettings& own) {
  return own.text("dag_executor") == "stack";
}

// Settings of what a predictor has not, at the values that mean nothing of it.
void add_full_models_slots(FieldList& list, OwnSettings& own) {
  const DagSettings d;
  own.flag("dag_post_block", false), own.flag("freeze_gpt", false);
  own.flag("dag_take_tables", false);
  own.flag("predictor_trunk", false);
  own.integer("dag_after", 0);
  own.integer("predictor_frozen_until", 0), own.number("predictor_lr", 1);
  own.text("dag_mix", "ln_scale"), own.number("dag_scale", d.scale);
  own.number("dag_embed_top", d.embed_top);
  own.number("plan_loss_weight", d.plan_loss_weight), own.number("lm_loss_weight", 0);
  const auto refuse = [&](const char* key, const char* reason) {
    list.refuse(key, reason, "leave it out, or train a full model, dag_small_stack for example");
  };
  constexpr const char* kFold = "a predictor folds no result back, full models do";
  for (const char* key : {"dag_mix", "dag_scale", "dag_post_block", "dag_embed_top", "dag_after"})
    refuse(key, kFold);
  refuse("plan_loss_weight",
         "a predictor learns programs alone, full models beside the next token");
  refuse("lm_loss_weight", "a predictor has no head, so no next token's loss");
  refuse("freeze_gpt", "all of a predictor makes programs");
  for (const char* key :
       {"dag_take_tables", "predictor_trunk", "predictor_frozen_until", "predictor_lr"})
    refuse(key, "it is of the part that a full model takes from a predictor");
}

// What a full model does with the part of it that a predictor may have been.
void add_predictor_fields(Adder& add, OwnSettings& own) {
  const auto has_one = [&own] { return is_stack(own); };
  add.flag("dag_take_tables", false,
           "what initial_part takes from a predictor: its token and position tables, too, as it "
           "does anyway with predictor_trunk")
      .needs(kOfStack, has_one);
  add.flag("predictor_trunk", false,
           "all in front of the programs is the predictor's, too: what initial_part takes, of one "
           "with dag_after blocks, and what predictor_frozen_until and predictor_lr are of")
      .needs("dag_executor = stack and dag_after > 0",
             [&own] { return is_stack(own) && own.integer("dag_after") > 0; });
  add.integer("predictor_frozen_until", 0,
              "before this step of a stage all that makes programs stays as it is")
      .at_least(0)
      .at_most(1e12)
      .needs(kOfStack, has_one);
  add.number("predictor_lr", 1, "times the learning rate, of all that makes programs")
      .above(0)
      .at_most(1e6)
      .needs(kOfStack, has_one);
}

void add_shape_fields(Adder& add, OwnSettings& own, bool predictor) {
  const DagSettings d;
  add.depth("dag_depth", d.depth,
            predictor ? "operations of a token's program"
                      : "operations of a token's program; 0: the plain model")
      .at_least(predictor ? 1 : 0)
      .at_most(kMostDepth)
      .shapes_weights();
  add.depth("max_dag_depth", 0, "another key for dag_depth: they must be equal; 0: not given")
      .at_least(0)
      .at_most(kMostDepth);
  add.choice("dag_executor", executors(), predictor ? "stack" : "scratch",
             "scratch: a list of numbers that begins with one of the token's own, every operation "
             "takes two of those before it and appends its result; stack: dag_depth + 1 numbers, "
             "every operation joins the two on top, as the programs that texts write down do, "
             "which it alone learns")
      .shapes_weights();
  add.choice("dag_domain", domains(), "signlog",
             "how a number is kept; signlog: s * exp(l), with s from -1 to 1; linear: itself")
      .shapes_weights();
  add.text("dag_ops", "",
           "names of operations, in the order in which a program chooses among them; empty: add, "
           "identity, multiply, subtract of scratch, and add, subtract, multiply, divide, identity "
           "of the stack; besides these max, min, power and log, which no text writes down: for "
           "models that learn no operations from labels")
      .shapes_weights();
  const char* const kAdapter = "one more norm in front of what makes the program";
  if (predictor) {
    own.flag("dag_adapter", d.adapter);
  } else {
    add.integer("dag_after", d.after,
                "behind which of the layers programs are run, and the others go on with their "
                "results; 0: behind the last one, in front of the head")
        .at_least(0)
        .at_most(10000)
        .shapes_weights();
    add.flag("dag_adapter", d.adapter, kAdapter).shapes_weights();
    add.flag("dag_post_block", d.post_block, "a block over the embedded results").shapes_weights();
    add.choice("dag_mix", folds(), "ln_scale",
               "how results come into the stream; ln_scale: n + scale * N(dag), gate: n + g * dag "
               "with a g of both for each token; n is the stream itself with dag_after")
        .shapes_weights();
    add.number("dag_scale", d.scale,
               "what the scale begins as; with 0 the model answers as the plain one does")
        .at_least(-1e3)
        .at_most(1e3)
        .needs("dag_mix = ln_scale", [&own] { return own.text("dag_mix") == "ln_scale"; });
    add.flag("freeze_gpt", false,
             "train the DAG alone: all else stays as it is but for what unfreeze names");
    add_predictor_fields(add, own);
  }
  add.flag("dag_pre_block", d.pre_block, "a block before the first number of the list")
      .shapes_weights()
      .needs("dag_executor = scratch", [&own] { return own.text("dag_executor") == "scratch"; });
}

void add_number_fields(Adder& add, OwnSettings& own, bool predictor) {
  const DagSettings d;
  const auto is_signlog = [&own] { return own.text("dag_domain") == "signlog"; };
  const char* const kSignLog = "dag_domain = signlog";
  add.choice("dag_clip", clips(), "clamp",
             "what holds |ln|v|| after an operation; clamp: at dag_log_limit; tanh: smoothly, "
             "limit * tanh(l / limit); none")
      .of_policy();
  add.number("dag_log_limit", d.log_limit, "of |ln|v||: 60 is what single precision carries")
      .above(0)
      .at_most(600)
      .of_policy()
      .needs("dag_clip = clamp or tanh", [&own] { return own.text("dag_clip") != "none"; });
  add.number("dag_value_limit", d.value_limit,
             "of |ln|v|| of the numbers that the model makes itself: ln|v| = limit * tanh(m)")
      .above(0)
      .at_most(60)
      .shapes_weights()
      .needs(kSignLog, is_signlog);
  if (predictor) return;
  add.number(
         "dag_embed_top", d.embed_top,
         "the highest of 32 frequencies by which a result's embedding has ln|v|, the lowest is a "
         "256th of it")
      .above(0)
      .at_most(1e4)
      .shapes_weights()
      .needs(kSignLog, is_signlog);
}

void add_select_fields(Adder& add, OwnSettings& own) {
  const DagSettings d;
  const auto draws = [&own] {
    const std::string select = own.text("dag_select");
    return select == "gumbel" || select == "gumbel_st";
  };
  const auto is_plain = [draws] { return !draws(); };
  const char* const kDraws = "dag_select = gumbel or gumbel_st";
  add.choice("dag_select", selects(), "soft",
             "how operations and operands are chosen; soft: mixed by a softmax; gumbel: by one "
             "with noise, in training; gumbel_st, st_argmax: the largest alone, with the gradient "
             "of the mixture")
      .of_policy();
  add.number("softmax_temperature", d.softmax_temperature,
             "of soft and st_argmax: softmax(logits * sqrt(choices) / temperature)")
      .above(0)
      .at_most(kMostTemperature)
      .of_policy()
      .needs("dag_select = soft or st_argmax", is_plain);
  add.number("gumbel_temperature", d.gumbel_temperature, "at the beginning")
      .above(0)
      .at_most(kMostTemperature)
      .of_policy()
      .needs(kDraws, draws);
  add.number("gumbel_temperature_end", 0,
             "after gumbel_temperature_steps and in evaluations; 0: gumbel_temperature")
      .at_least(0)
      .at_most(kMostTemperature)
      .of_policy()
      .needs(kDraws, draws);
  add.integer("gumbel_temperature_steps", d.temperature_steps,
              "steps over which the temperature comes to its end; 0: it is there at once")
      .at_least(0)
      .at_most(1e12)
      .of_policy()
      .needs(kDraws, draws);
}

void add_loss_fields(Adder& add, OwnSettings& own, bool predictor) {
  const DagSettings d;
  const auto learns = [&own] { return is_stack(own); };
  add.choice("dag_targets", targets(), "token",
             "what a program is learned from; token: every token from an expression's last operand "
             "on, each by itself; sequence: what a sequence's tokens say on average")
      .needs(kOfStack, learns);
  const auto weight = [&](const char* key, double value, const char* help) {
    add.number(key, value, help)
        .at_least(0)
        .at_most(kMostWeight)
        .of_policy()
        .needs(kOfStack, learns);
  };
  weight("sign_loss_weight", d.sign_loss_weight, "of the numbers' signs: (s - target)^2");
  weight("log_loss_weight", d.log_loss_weight, "of the numbers' logarithms: (l - target)^2");
  weight("op_loss_weight", d.op_loss_weight, "of the operations: -ln of the right one's share");
  if (predictor) return;
  weight("plan_loss_weight", d.plan_loss_weight,
         "of these three together, beside the next token's loss");
  add.next_token("lm_loss_weight", d.lm_loss_weight, "of the next token's loss")
      .at_least(0)
      .at_most(kMostWeight)
      .of_policy();
}

// What the notebook's command lines have besides.
void add_notebook_keys(FieldList& list) {
  for (const char* key : {"math_eval_tasks", "math_eval_examples", "math_eval_max_examples",
                          "math_eval_interval", "math_eval_iters", "run_math_eval"})
    list.ignore(key, "`fathom eval RUN` answers word problems", /*takes_value=*/true);
  list.ignore("subset", "generated numbers have no end; a corpus is what was prepared",
              /*takes_value=*/true);
}

void check(const DagSettings& s, const OwnSettings& own) {
  const int64_t other = own.integer("max_dag_depth");
  if (other != 0 && other != s.depth)
    misuse(fmt::format("max_dag_depth = {} and dag_depth = {}: programs have one depth", other,
                       s.depth),
           "leave max_dag_depth out");
  if (s.operations.empty()) fail("dag_ops names no operation");
  if (s.depth == 0 && own.flag("freeze_gpt"))
    misuse("freeze_gpt = true and dag_depth = 0: all would stay as it is, for there is no DAG",
           "leave one of them out");
}

}  // namespace

void add_fields(FieldList& list, OwnSettings& own, bool predictor) {
  Adder add(list, own);
  add_shape_fields(add, own, predictor);
  add_number_fields(add, own, predictor);
  add_select_fields(add, own);
  add_loss_fields(add, own, predictor);
  if (predictor) add_full_models_slots(list, own);
  add_notebook_keys(list);
}

std::vector<Operation> operations_of(Executor executor) {
  using O = Operation;
  if (executor == Executor::kScratch) return {O::kAdd, O::kIdentity, O::kMultiply, O::kSubtract};
  return {kWrittenOperations.begin(), kWrittenOperations.end()};
}

bool has_trunk(const OwnSettings& own) {
  return own.flag("predictor_trunk") && own.integer("dag_after") > 0;
}

DagSettings settings_of(const OwnSettings& own) {
  DagSettings s;
  s.depth = own.integer("dag_depth");
  s.after = own.integer("dag_after");
  s.executor = chosen(executors(), own, "dag_executor");
  s.domain = chosen(domains(), own, "dag_domain");
  s.fold = chosen(folds(), own, "dag_mix");
  s.scale = own.number("dag_scale");
  s.select = chosen(selects(), own, "dag_select");
  const std::string operations = own.text("dag_ops");
  s.operations = operations.empty() ? operations_of(s.executor) : operations_named(operations);
  s.clip = chosen(clips(), own, "dag_clip");
  s.log_limit = own.number("dag_log_limit");
  s.value_limit = own.number("dag_value_limit");
  s.softmax_temperature = own.number("softmax_temperature");
  s.gumbel_temperature = own.number("gumbel_temperature");
  const double end = own.number("gumbel_temperature_end");
  s.gumbel_temperature_end = end > 0 ? end : s.gumbel_temperature;
  s.temperature_steps = own.integer("gumbel_temperature_steps");
  s.embed_top = own.number("dag_embed_top");
  s.pre_block = own.flag("dag_pre_block");
  s.post_block = own.flag("dag_post_block");
  s.adapter = own.flag("dag_adapter");
  s.targets = chosen(targets(), own, "dag_targets");
  s.sign_loss_weight = own.number("sign_loss_weight");
  s.log_loss_weight = own.number("log_loss_weight");
  s.op_loss_weight = own.number("op_loss_weight");
  s.plan_loss_weight = own.number("plan_loss_weight");
  s.lm_loss_weight = own.number("lm_loss_weight");
  check(s, own);
  return s;
}

}  // namespace fathom::dag
