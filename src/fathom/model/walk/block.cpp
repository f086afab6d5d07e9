#include "fathom/model/walk/block.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <c10/util/MaybeOwned.h>
#include <c10/util/SmallVector.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/ops/few_rows.h"

namespace fathom {
namespace {

using Op = Expr::Op;

// A block's few values by name.
class Values {
 public:
  const Tensor& at(std::string_view name) const {
    for (const auto& [known, value] : values_)
      if (known == name) return value;
    fail(fmt::format("a wiring reads {}, which has no value", name));
  }
  void set(std::string_view name, Tensor value) {
    for (auto& [known, old] : values_)
      if (known == name) {
        old = std::move(value);
        return;
      }
    values_.emplace_back(name, std::move(value));
  }

 private:
  // Names are the wiring's, or literals.
  c10::SmallVector<std::pair<std::string_view, Tensor>, 8> values_;
};

class WiringEvaluator {
 public:
  explicit WiringEvaluator(const BlockRun& run) : run_(run) {}

  Tensor evaluate(const Expr& e, const Values& values) {
    const auto argument = [&](size_t i) { return operand(e.args[i], values); };
    switch (e.op) {
      case Op::kName:
        return values.at(e.name);
      case Op::kNumber:
        return at::scalar_tensor(e.number, values.at("r").options().requires_grad(false));
      case Op::kAdd:
      case Op::kSubtract:
      case Op::kMultiply:
      case Op::kDivide: {
        // Calls are numbered as they are read.
        const Operand left = argument(0), right = argument(1);
        if (e.op == Op::kAdd) return plus(*left, *right);
        if (e.op == Op::kSubtract) return minus(*left, *right);
        return e.op == Op::kMultiply ? times(*left, *right) : *left / *right;
      }
      case Op::kAttention: {
        // In their order.
        const Operand x = argument(0);
        const Operand keys = e.args.size() > 2 ? argument(1) : Operand::borrowed(*x);
        const Operand v = e.args.size() > 1 ? argument(e.args.size() - 1) : Operand::borrowed(*x);
        return run_attention(e.part, *x, *keys, *v);
      }
      case Op::kMlp:
        return run_mlp(e.part, *argument(0));
      case Op::kNorm:
        return norm(*argument(0), run_.params.norm(run_.step.layer.norm[size_t(e.part)]),
                    run_.settings);
      case Op::kCall:
        if (e.name == "sigmoid") return argument(0)->sigmoid();
        if (e.name == "mean") return argument(0)->mean(-1, /*keepdim=*/true);
        if (e.name == "sum") return argument(0)->sum(-1, /*keepdim=*/true);
        break;
      case Op::kGreater:
        break;
      case Op::kFunction: {
        std::vector<Tensor> args;
        for (size_t i = 0; i < e.args.size(); ++i) args.push_back(*argument(i));
        return run_function(e.name, args, values.at("r"));
      }
    }
    fail("a wiring has an operation that its evaluator does not know");
  }

  // Puts keys and values of the attentions in it, and computes nothing else.
  void put_keys(const Expr& e, const Values& values, const std::shared_ptr<const Rows>& rows) {
    if (e.op != Op::kAttention) {
      for (const Expr& arg : e.args) put_keys(arg, values, rows);
      if (e.op == Op::kMlp) ++mlp_calls_;
      if (e.op == Op::kFunction) ++function_calls_;
      return;
    }
    // Queries of their own are not asked, but what they are made of may have keys.
    const size_t first = first_key_argument(e);
    if (first > 0) put_keys(e.args[0], values, rows);
    const Tensor keys = evaluate(e.args[first], values);
    const Tensor v = e.args.size() > first + 1 ? evaluate(e.args[first + 1], values) : keys;
    const AttentionSpec& spec = run_.step.layer.attention[size_t(e.part)];
    fathom::put_keys(spec, run_.params.attention.at(spec.instance),
                     run_.step.cache_slot + attention_calls_++, rows, keys, v, run_.context);
  }

 private:
  // A name's own tensor, or what was computed.
  using Operand = c10::MaybeOwned<Tensor>;
  Operand operand(const Expr& e, const Values& values) {
    return e.op == Op::kName ? Operand::borrowed(values.at(e.name))
                             : Operand::owned(evaluate(e, values));
  }

  Tensor run_attention(int part, const Tensor& x_RC, const Tensor& keys_RC,
                       const Tensor& values_RC) {
    const StepSpec& step = run_.step;
    const int call = attention_calls_++, slot = step.cache_slot + call;
    const AttentionSpec& spec = step.layer.attention[size_t(part)];
    const Tensor out_RC = fathom::run_attention(spec, run_.params.attention.at(spec.instance), slot,
                                                x_RC, keys_RC, values_RC, run_.context);
    return given("a", out_RC,
                 [&] { return step.site("attention_out", step.attention_place + call); });
  }

  Tensor run_mlp(int part, const Tensor& x_RC) {
    const StepSpec& step = run_.step;
    const int call = mlp_calls_++;
    const MlpSpec& spec = step.layer.mlp[size_t(part)];
    const Tensor out_RC =
        fathom::run_mlp(spec, run_.params.mlp.at(spec.instance), x_RC, run_.settings);
    return given("m", out_RC,
                 [&] { return fmt::format("{}.{}", step.site("mlp_out", step.place), call); });
  }

  // What a part gives to the stream.
  template <class Site>
  Tensor given(std::string_view name, const Tensor& out_RC, const Site& site) const {
    const Tensor x_RC =
        run_.dropout ? apply_dropout(out_RC, run_.dropout(site(), out_RC.size(-1))) : out_RC;
    if (run_.see) run_.see(name, x_RC);
    return x_RC;
  }

  Tensor run_function(const std::string& name, const std::vector<Tensor>& args,
                      const Tensor& like_RC) {
    Tensor out_RC;
    try {
      const FunctionPass& pass = run_.pass;
      out_RC = run_.functions.at(name)({name, run_.step, function_calls_++, run_.params, args,
                                        run_.dropout, pass.uniform, run_.see, pass.settings,
                                        pass.training, pass.training_step});
    } catch (const c10::Error& e) {
      fail(fmt::format("F.{} in step {}: {}", name, run_.step.index, e.what_without_backtrace()),
           "that is code of the experiment's, not of fathom's");
    } catch (const std::logic_error& e) {  // an argument or a name that is not there
      fail(fmt::format("F.{} in step {}: {}", name, run_.step.index, e.what()),
           "that is code of the experiment's, not of fathom's");
    }
    if (out_RC.sizes() != like_RC.sizes())
      fail(fmt::format("F.{} gives [{}] where the stream is [{}]", name,
                       fmt::join(out_RC.sizes(), ", "), fmt::join(like_RC.sizes(), ", ")));
    return out_RC;
  }

  const BlockRun& run_;
  int attention_calls_ = 0, mlp_calls_ = 0, function_calls_ = 0;
};

Values values_at_door(const BlockRun& run, const Carry& carry, const Tensor& n_RC) {
  Values values;
  values.set("r", carry.r_RC);
  values.set("n", n_RC);
  if (run.pos_RC.defined()) values.set("pos", run.pos_RC);
  if (run.keep_y) values.set("y", carry.y_RC.defined() ? carry.y_RC : at::zeros_like(carry.r_RC));
  return values;
}

}  // namespace

const Tensor& FunctionCall::own(const std::string& name) const {
  const auto found = params.own.find(name);
  if (found != params.own.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : params.own) names.push_back(known);
  const std::string nearest = nearest_name(name, names);
  fail(fmt::format("the model has no parameter {}", in_quotes(name)),
       nearest.empty() ? "the experiment's add_parameters gives it one"
                       : fmt::format("did you mean {}?", nearest));
}

Tensor FunctionCall::dropout(const Tensor& x) const {
  if (!dropout_source) return x;
  return apply_dropout(
      x, dropout_source(fmt::format("{}.{}", step.site("function_out", step.place), number),
                        x.size(-1)));
}

Tensor FunctionCall::uniform(std::string_view what, int64_t width, const Tensor& like) const {
  if (!uniform_source) return {};
  const std::string site = step.site("function_uniform", step.place);
  return uniform_source(fmt::format("{}.{}.{}", site, number, what), width, like);
}

void FunctionCall::record(std::string_view what, const Tensor& x) const {
  if (see) see(fmt::format("F.{}.{}", function, what), x);
}

Carry run_block(const BlockRun& run, Carry carry, const Tensor& n_RC) {
  WiringEvaluator evaluator(run);
  Values values = values_at_door(run, carry, n_RC);
  if (run.see) run.see("n", n_RC);
  bool assigns_y = false;
  for (const Statement& s : run.wiring.statements) {
    Tensor value = evaluator.evaluate(s.value, values);
    if (run.see && value.dim() == 2) run.see(s.target, value);  // not a number
    values.set(s.target, std::move(value));
    assigns_y = assigns_y || s.target == "y";
  }
  if (run.keep_y) carry.y_RC = assigns_y ? values.at("y") : minus(values.at("r"), carry.r_RC);
  carry.r_RC = values.at("r");
  return carry;
}

void put_keys(const BlockRun& run, const std::vector<bool>& makes_keys,
              const std::shared_ptr<const Rows>& rows, const Carry& carry, const Tensor& n_RC) {
  WiringEvaluator evaluator(run);
  Values values = values_at_door(run, carry, n_RC);
  for (size_t i = 0; i < makes_keys.size(); ++i) {
    const Statement& s = run.wiring.statements[i];
    if (makes_keys[i])
      values.set(s.target, evaluator.evaluate(s.value, values));
    else
      evaluator.put_keys(s.value, values, rows);
  }
}

}  // namespace fathom
