// A walk once more, one token at a time. What a row computes by itself (doors, wirings, parts) it
// takes from the walk's files; who is there, who sees whom, who waits and comes back is looked up
// here, token by token, in tables.
#pragma once

#include <map>
#include <optional>

#include "fathom/model/walk/injection.h"
#include "ops/described.h"
#include "property/random_plan.h"

namespace fathom::property {

// The keys of one sequence at each slot, as they were computed.
struct SeenKey {
  Tensor k, v;
  int64_t position, segment;
};
using KeyTable = std::map<int, std::vector<SeenKey>>;

// Attention of one token: to the keys that the table has for it.
class TableAttention : public AttentionContext {
 public:
  struct Token {
    int64_t position, segment;
    bool valid;
    std::optional<int64_t> context;
  };
  TableAttention(const Rows& row, const Token& token, KeyTable& table)
      : row_(row), token_(token), table_(table) {}

  using AttentionContext::attend;
  Tensor attend(int slot, const Tensor& q, const Tensor& k, const Tensor& v) override {
    return attend(slot, q, k, v, AttentionForm());
  }
  Tensor attend(int slot, const Tensor& q, const Tensor& k, const Tensor& v,
                const AttentionForm& given) override {
    std::vector<SeenKey>& keys = table_[slot];
    if (token_.valid) keys.push_back({k, v, token_.position, token_.segment});
    std::vector<Tensor> seen_k, seen_v;
    for (const SeenKey& key : keys) {
      const int64_t behind = token_.position - key.position;
      if (behind < (given.strict ? 1 : 0) || behind > token_.context.value_or(behind)) continue;
      if (key.segment != token_.segment) continue;
      seen_k.push_back(key.k);
      seen_v.push_back(key.v);
    }
    AttentionForm form = given;
    form.strict = false;  // the table said it
    const bool joined = form.values == AttentionForm::kSum || form.values == AttentionForm::kMean;
    const int64_t E = v.size(1) * (form.values == AttentionForm::kConcat ? kHeads : 1);
    if (seen_k.empty()) return at::zeros({1, joined ? v.size(1) : E}, v.options());
    const testing::Described all = testing::Described(1, 1, int64_t(seen_k.size())).any_order();
    return attention(q.unsqueeze(0), at::cat(seen_k).unsqueeze(0), at::cat(seen_v).unsqueeze(0),
                     kHeads, all, nullptr, form)
        .squeeze(0);
  }
  void put(int, const std::shared_ptr<const Rows>&, const Tensor&, const Tensor&) override {}
  const Rows& rows() const override { return row_; }
  int64_t heads() const override { return kHeads; }

 private:
  const Rows& row_;
  Token token_;
  KeyTable& table_;
};

// What the walk should carry at a step's door: of a token that takes part there.
struct Expected {
  bool active = false;  // has not halted, and is in every loop that is open
  Tensor r, y;
};

class TokenReference {
 public:
  // Decisions (B, T) by number of the readout, and of the iteration's end.
  TokenReference(const RandomModel& model, const DepthProgram& program, const Batch& batch,
                 const WalkOptions& options)
      : model_(model), program_(program), batch_(batch), options_(options) {}

  // [step][sequence][position], and behind the last step what is left at the end.
  std::vector<std::vector<std::vector<Expected>>> run() const {
    const int64_t B = batch_.tokens_BT.size(0);
    std::vector<std::vector<std::vector<Expected>>> all(
        program_.depth() + 1, std::vector<std::vector<Expected>>(size_t(B)));
    for (int64_t b = 0; b < B; ++b) sequence(b, all);
    return all;
  }

 private:
  struct Loop {
    int group;
    bool outside, left = false;
    Tensor kept_r, kept_y;
  };
  struct Token {
    Rows row;
    TableAttention::Token place;
    Carry carry;
    std::vector<Loop> loops;
    bool done = false;
  };

  KeyFate fate(const Loop& loop) const { return program_.loop_halting(loop.group).keys; }
  int64_t first_iteration(int group, int64_t b) const {
    const LoopPolicy& loop = program_.policy.loops.at(size_t(group));
    return loop.counts.empty() ? 0 : loop.count - loop.counts.at(size_t(b));
  }
  // It computes something here, were it only for its keys.
  bool is_there(const Token& t) const {
    if (t.done && program_.policy.halting.keys == KeyFate::kHidden) return false;
    for (const Loop& loop : t.loops)
      if (loop.outside || (loop.left && fate(loop) == KeyFate::kHidden)) return false;
    return true;
  }
  static bool is_away(const Token& t) {
    for (const Loop& loop : t.loops)
      if (loop.outside || loop.left) return true;
    return false;
  }
  bool stands_still(const Token& t) const {
    if (t.done && program_.policy.halting.keys == KeyFate::kFrozen) return true;
    for (const Loop& loop : t.loops)
      if (loop.left && fate(loop) == KeyFate::kFrozen) return true;
    return false;
  }

  void sequence(int64_t b, std::vector<std::vector<std::vector<Expected>>>& all) const {
    const int64_t T = batch_.tokens_BT.size(1);
    const RandomField random(5, 1, b);  // as walk_options() has it
    const BlockSettings settings = model_.settings();
    std::vector<Token> tokens;
    const auto at_of = [&](const Tensor& x_BT, int64_t t, int64_t none) {
      return x_BT.defined() ? x_BT[b][t].item<int64_t>() : none;
    };
    for (int64_t t = 0; t < T; ++t) {
      const int64_t position = at_of(batch_.position_BT, t, t);
      Token token{Rows({{batch_.tokens_BT[b][t].item<int64_t>()}}, {position}, at::kCPU),
                  {position, at_of(batch_.segment_BT, t, 0), true, {}},
                  {},
                  {}};
      if (batch_.valid_BT.defined()) token.place.valid = batch_.valid_BT[b][t].item<bool>();
      token.carry =
          inject(model_.random.plan.stem, model_.walk.params(), token.row, random, settings);
      tokens.push_back(std::move(token));
    }
    KeyTable table;
    for (const StepSpec& step : program_.steps) {
      for (const Token& t : tokens)
        all[size_t(step.index)][size_t(b)].push_back(
            {!t.done && !is_away(t), t.carry.r_RC, t.carry.y_RC});
      for (int64_t t = 0; t < T; ++t) walk(step, tokens[size_t(t)], b, t, random, settings, table);
    }
    for (const Token& t : tokens)
      all.back()[size_t(b)].push_back({!t.done, t.carry.r_RC, t.carry.y_RC});
  }

  void walk(const StepSpec& step, Token& t, int64_t b, int64_t place, const RandomField& random,
            const BlockSettings& settings, KeyTable& table) const {
    Carry before = t.carry;
    Tensor gate;
    for (size_t i = 0; i < step.layer.door.size(); ++i) {
      const Injection& injection = step.layer.door[i];
      const bool input = injection.kind == Injection::kLoopInput;
      if (input && !t.loops.empty() && t.loops.back().outside &&
          t.loops.back().group == injection.loop.group &&
          injection.loop.iteration == first_iteration(injection.loop.group, b)) {
        t.loops.back().outside = false;
        t.carry.r_RC = before.r_RC = t.loops.back().kept_r;
        t.carry.y_RC = before.y_RC = t.loops.back().kept_y;
      }
      if (!is_there(t)) continue;
      bool newcomer = true;
      for (const LoopPlace& p : step.path)
        newcomer = newcomer && p.iteration == first_iteration(p.group, b);
      if (injection.newcomers_only && !newcomer) continue;
      t.carry = inject(injection, {step.layer.width, &step, int(i)}, model_.walk.params(), t.row,
                       std::move(t.carry), gate, random, settings);
      if (injection.kind == Injection::kOpenLoop)
        t.loops.push_back({injection.loop.group, first_iteration(injection.loop.group, b) > 0,
                           false, t.carry.r_RC, t.carry.y_RC});
    }
    if (is_there(t)) {
      compute(step, t, settings, table);
      if (stands_still(t)) {
        const auto widened = [&](const Tensor& x) {
          return at::constant_pad_nd(x, {0, step.layer.width - x.size(1)}, 0);
        };
        t.carry.r_RC = widened(before.r_RC);
        if (t.carry.y_RC.defined())
          t.carry.y_RC = widened(before.y_RC.defined() ? before.y_RC : at::zeros_like(before.r_RC));
      }
      if (step.readout >= 0 && !is_away(t) && decided(options_.replay, step.readout, b, place))
        t.done = true;
    }
    for (const LoopEnd& end : step.ends) {
      // Who waits is in fewer loops than the others.
      if (t.loops.empty() || t.loops.back().group != end.place.group) continue;
      Loop& loop = t.loops.back();
      const bool halts =
          !end.closes && program_.loop_halting(end.place.group).halts() && !t.done && !is_away(t);
      if (halts && decided(options_.replay_loops, end.number, b, place)) {
        loop.left = true;
        loop.kept_r = t.carry.r_RC;
        loop.kept_y = t.carry.y_RC;
      }
      if (!end.closes) continue;
      if (loop.left) {
        t.carry.r_RC = loop.kept_r;
        t.carry.y_RC = loop.kept_y;
      }
      t.loops.pop_back();
      t.carry.x0_RC.pop_back();
    }
  }

  static bool decided(const std::vector<Tensor>* decisions, int number, int64_t b, int64_t t) {
    return (*decisions)[size_t(number)][b][t].item<bool>();
  }

  void compute(const StepSpec& step, Token& t, const BlockSettings& settings,
               KeyTable& table) const {
    t.place.context = step.layer.context;
    TableAttention attention(t.row, t.place, table);
    const Tensor n = norm(t.carry.r_RC, model_.walk.params().norm(step.layer.norm_in), settings);
    const DropoutSource no_dropout;
    const SeeValue nobody;
    const RowFunctions none;
    const OwnSettings own;
    const FunctionPass pass = {own};
    const BlockRun run = {model_.random.plan.wirings[size_t(step.layer.wiring)],
                          step,
                          model_.walk.params(),
                          attention,
                          no_dropout,
                          settings,
                          none,
                          pass,
                          nobody,
                          model_.keeps_y()};
    const Carry after = run_block(run, {t.carry.r_RC, t.carry.y_RC, {}}, n);
    t.carry.r_RC = after.r_RC;
    t.carry.y_RC = after.y_RC;
  }

  const RandomModel& model_;
  const DepthProgram& program_;
  const Batch& batch_;
  const WalkOptions& options_;
};

}  // namespace fathom::property
