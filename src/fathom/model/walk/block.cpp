#include "fathom/model/walk/block.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using Op = WireExpr::Op;

// A block's few values by name.
class Values {
 public:
  Values() { values_.reserve(8); }
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
  std::vector<std::pair<std::string_view, Tensor>> values_;  // names are the wiring's, or literals
};

class WiringEvaluator {
 public:
  WiringEvaluator(const StepSpec& step, const Params& params, AttentionContext& context,
                  const DropoutSource& dropout, const BlockSettings& settings,
                  const RowFunctions& functions)
      : step_(step),
        params_(params),
        context_(context),
        dropout_(dropout),
        settings_(settings),
        functions_(functions) {}

  Tensor evaluate(const WireExpr& e, const Values& values) {
    const auto argument = [&](size_t i) { return evaluate(e.args[i], values); };
    switch (e.op) {
      case Op::kName:
        return values.at(e.name);
      case Op::kNumber:
        return at::scalar_tensor(e.number, values.at("r").options().requires_grad(false));
      case Op::kAdd:
        return plus(argument(0), argument(1));
      case Op::kSubtract:
        return argument(0) - argument(1);
      case Op::kMultiply:
        return argument(0) * argument(1);
      case Op::kAttention: {
        const Tensor x = argument(0);
        return run_attention(e.part, x, e.args.size() > 1 ? argument(1) : x);
      }
      case Op::kMlp:
        return run_mlp(e.part, argument(0));
      case Op::kNorm:
        return norm(argument(0), params_.norm(step_.layer.norm[static_cast<size_t>(e.part)]),
                    settings_);
      case Op::kSigmoid:
        return argument(0).sigmoid();
      case Op::kMean:
        return argument(0).mean(-1, /*keepdim=*/true);
      case Op::kFunction: {
        std::vector<Tensor> args;
        for (size_t i = 0; i < e.args.size(); ++i) args.push_back(argument(i));
        return run_function(e.name, args, values.at("r"));
      }
    }
    fail("a wiring has an operation that its evaluator does not know");
  }

 private:
  Tensor run_attention(int part, const Tensor& x_RC, const Tensor& values_RC) {
    const int call = attention_calls_++, slot = step_.cache_slot + call;
    const AttentionSpec& spec = step_.layer.attention[size_t(part)];
    const Tensor out_RC = fathom::run_attention(spec, params_.attention.at(spec.instance), slot,
                                                x_RC, values_RC, context_);
    if (!dropout_) return out_RC;
    return apply_dropout(out_RC, dropout_(step_.site("attention_out", step_.attention_place + call),
                                          out_RC.size(-1)));
  }

  Tensor run_mlp(int part, const Tensor& x_RC) {
    const MlpSpec& spec = step_.layer.mlp[size_t(part)];
    const Tensor out_RC = fathom::run_mlp(spec, params_.mlp.at(spec.instance), x_RC, settings_);
    if (!dropout_) return out_RC;
    return apply_dropout(
        out_RC, dropout_(fmt::format("{}.{}", step_.site("mlp_out", step_.place), mlp_calls_++),
                         out_RC.size(-1)));
  }

  Tensor run_function(const std::string& name, const std::vector<Tensor>& args,
                      const Tensor& like_RC) {
    Tensor out_RC;
    try {
      out_RC = functions_.at(name)({step_, function_calls_++, params_, args, dropout_});
    } catch (const c10::Error& e) {
      fail(fmt::format("F.{} in step {}: {}", name, step_.index, e.what_without_backtrace()),
           "that is code of the experiment's, not of fathom's");
    } catch (const std::logic_error& e) {  // an argument or a name that is not there
      fail(fmt::format("F.{} in step {}: {}", name, step_.index, e.what()),
           "that is code of the experiment's, not of fathom's");
    }
    if (out_RC.sizes() != like_RC.sizes())
      fail(fmt::format("F.{} gives [{}] where the stream is [{}]", name,
                       fmt::join(out_RC.sizes(), ", "), fmt::join(like_RC.sizes(), ", ")));
    return out_RC;
  }

  const StepSpec& step_;
  const Params& params_;
  AttentionContext& context_;
  const DropoutSource& dropout_;
  const BlockSettings& settings_;
  const RowFunctions& functions_;
  int attention_calls_ = 0, mlp_calls_ = 0, function_calls_ = 0;
};

}  // namespace

const Tensor& FunctionCall::own(const std::string& name) const {
  const auto found = params.own.find(name);
  if (found != params.own.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : params.own) names.push_back(known);
  fail(fmt::format("the model has no parameter {}", in_quotes(name)),
       suggestion(name, names, "the experiment's add_parameters gives it one"));
}

Tensor FunctionCall::dropout(const Tensor& x) const {
  if (!dropout_source) return x;
  return apply_dropout(
      x, dropout_source(fmt::format("{}.{}", step.site("function_out", step.place), number),
                        x.size(-1)));
}

Carry run_block(const Wiring& wiring, const StepSpec& step, const Params& params, Carry carry,
                const Tensor& n_RC, bool keep_y, AttentionContext& context,
                const DropoutSource& dropout, const BlockSettings& settings,
                const RowFunctions& functions) {
  WiringEvaluator evaluator(step, params, context, dropout, settings, functions);
  Values values;
  values.set("r", carry.r_RC);
  values.set("n", n_RC);
  if (keep_y) values.set("y", carry.y_RC.defined() ? carry.y_RC : at::zeros_like(carry.r_RC));
  bool assigns_y = false;
  for (const WireStatement& s : wiring.statements) {
    values.set(s.target, evaluator.evaluate(s.value, values));
    assigns_y = assigns_y || s.target == "y";
  }
  if (keep_y) carry.y_RC = assigns_y ? values.at("y") : values.at("r") - carry.r_RC;
  carry.r_RC = values.at("r");
  return carry;
}

}  // namespace fathom
