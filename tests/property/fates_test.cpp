// Rows that leave, wait and come back, with every fate of their keys, in walks that have all rows
// in their tensors, that take rows out, and that see earlier rows through a cache: each is what one
// token at a time computes.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <fmt/ranges.h>

#include <optional>

#include "fathom/base/error.h"
#include "property/token_reference.h"
#include "property/walks.h"
#include "spec/plans.h"

namespace fathom::property {
namespace {

constexpr double kTolerance = 1e-11;
const std::string kFatesNothing;

KeyFate any_fate() {
  return *rc::gen::element(KeyFate::kHidden, KeyFate::kSeen, KeyFate::kFrozen,
                           KeyFate::kFilledLater);
}

// The plan's policy with fates, loops that rows may leave, and sequences that enter late.
Policy any_policy(const RandomModel& model, const Batch& batch, int64_t most_iterations) {
  Policy policy = model.random.policy;
  policy.halting.keys = any_fate();
  policy.halting.history = MaskHistory::kCumulative;
  policy.halting.mask_self = true;
  const bool leave_loops = !one_in(3);
  for (LoopPolicy& loop : policy.loops) {
    loop.backprop_depth = 0;
    loop.count = any(1, most_iterations);
    if (!leave_loops) continue;
    loop.halting.keys = any_fate();
    // What it decides is replayed; what it remembers of its rows goes where they go.
    if (!one_in(3))
      loop.halting.config.rule =
          *rc::gen::element(HaltRule::kLatentChange, HaltRule::kStateChange,
                            HaltRule::kStepNormDiff, HaltRule::kAcceleration);
    if (one_in(2))
      for (int64_t b = 0; b < batch.tokens_BT.size(0); ++b)
        loop.counts.push_back(any(1, loop.count));
  }
  return policy;
}

Decisions any_loop_decisions(const Batch& batch, const DepthProgram& program) {
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  Decisions decisions;
  for (int i = 0; i < program.loop_ends; ++i) {
    const Tensor halts_BT = at::full({B, T}, false, at::TensorOptions(at::kBool));
    const int64_t one_of = any(1, 4);
    for (int64_t k = 0; k < B * T; ++k) halts_BT.data_ptr<bool>()[k] = one_in(one_of);
    if (batch.valid_BT.defined()) halts_BT.logical_and_(batch.valid_BT);
    decisions.push_back(halts_BT);
  }
  return decisions;
}

// What the walk carries of positions [first, first + count), against the reference, at each step's
// door. Names the first thing that differs; empty: nothing does.
class Comparison {
 public:
  Comparison(const KeptTrace& trace,
             const std::vector<std::vector<std::vector<Expected>>>& expected, int64_t first,
             int64_t count)
      : trace_(trace), expected_(expected), first_(first), count_(count) {}

  std::string run() const {
    for (const StepRecord& r : trace_.steps) {
      const WalkState& door = trace_.state(size_t(r.step));
      const std::string what = at_door(*door.rows, door.travel, expected_[size_t(r.step)]);
      if (!what.empty()) return fmt::format("step {}: {}", r.step, what);
    }
    return kFatesNothing;
  }

 private:
  std::string at_door(const Rows& rows, const Travel& travel,
                      const std::vector<std::vector<Expected>>& expected) const {
    std::map<std::pair<int64_t, int64_t>, int64_t> row_of;  // sequence and position -> row
    for (int64_t b = 0; b < rows.batch(); ++b)
      for (int64_t i = rows.offsets()[size_t(b)]; i < rows.offsets()[size_t(b) + 1]; ++i)
        if (!travel.done_R.defined() || !travel.done_R[i].item<bool>())
          row_of[{b, rows.source()[i].item<int64_t>() % count_}] = i;
    for (int64_t b = 0; b < rows.batch(); ++b)
      for (int64_t t = 0; t < count_; ++t) {
        const Expected& e = expected[size_t(b)][size_t(first_ + t)];
        if (!e.active) continue;
        const auto found = row_of.find({b, t});
        if (found == row_of.end())
          return fmt::format("({}, {}) is missing among [{}] of [{}]", b, t,
                             fmt::join(rows.positions(), ", "), fmt::join(rows.offsets(), ", "));
        const auto off = [&](const Tensor& x, const Tensor& y) {
          return !x.defined() || !y.defined()  // zero, or nobody reads it
                     ? 0
                     : relative_gap(x.select(0, found->second), y.select(0, 0));
        };
        const double r = off(travel.carry.r_RC, e.r), y = off(travel.carry.y_RC, e.y);
        if (!(std::max(r, y) <= kTolerance))
          return fmt::format("({}, {}) is off by {} and {}", b, t, r, y);
      }
    return kFatesNothing;
  }

  const KeptTrace& trace_;
  const std::vector<std::vector<std::vector<Expected>>>& expected_;
  int64_t first_, count_;
};

// What a failure is looked for by.
std::string told(const DepthProgram& program) {
  const auto halting = [](const HaltingPolicy& h) {
    const char* const names[] = {"hidden", "seen", "frozen", "filled later"};
    return h.halts() ? names[int(h.keys)] : "none";
  };
  std::string out = fmt::format("the walk: {}\n", halting(program.policy.halting));
  for (const LoopPolicy& l : program.policy.loops)
    out += fmt::format("loop: {} times, {}, [{}]\n", l.count, halting(l.halting),
                       fmt::join(l.counts, ", "));
  for (const StepSpec& s : program.steps) {
    out += s.site("step", s.index) + (s.readout >= 0 ? ", reads out" : "");
    for (const Injection& i : s.layer.door)
      if (i.kind == Injection::kOpenLoop || i.kind == Injection::kLoopInput)
        out += fmt::format(", {} {}", i.kind == Injection::kOpenLoop ? "opens" : "feeds",
                           i.loop.group);
      else
        out += fmt::format(", door {}{}", int(i.kind), i.newcomers_only ? " of newcomers" : "");
    for (const AttentionSpec& a : s.layer.attention)
      out += fmt::format(", values {} scores {} mask {}", int(a.value), int(a.scores), int(a.mask));
    out += fmt::format(", wiring {}, {} before", s.layer.wiring, s.layer.context.value_or(-1));
    for (const LoopEnd& e : s.ends)
      out += fmt::format(", {} {}", e.closes ? "closes" : "ends", e.place.group);
    out += "\n";
  }
  return out;
}

struct Drawn {
  explicit Drawn(int64_t iterations = 4) : most_iterations(iterations) {}

  int64_t most_iterations;
  RandomModel model{at::kDouble, one_in(2) ? PlanShape::kLoopInALoop : PlanShape::kAny};
  Batch batch = any_batch();
  Policy policy = any_policy(model, batch, most_iterations);
  DepthProgram program = unroll(model.random.plan, policy);
  Decisions readouts = any_decisions(batch, program);
  Decisions loops = any_loop_decisions(batch, program);

  WalkOptions options() const {
    WalkOptions o = walk_options(/*training=*/false);
    o.replay = &readouts;
    o.replay_loops = &loops;
    return o;
  }
};

RC_GTEST_PROP(Fates, WithAllRowsInItsTensorsOrOnlyThoseThatAreNeeded, ()) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const Drawn d;
  WalkOptions options = d.options();
  const auto expected = TokenReference(d.model, d.program, d.batch, options).run();
  const int64_t T = d.batch.tokens_BT.size(1);
  for (const bool skip : {false, true}) {
    options.skip = skip;
    const KeptTrace trace = run_kept(d.model.walk, d.program, d.batch, options);
    RC_LOG() << (skip ? "skipping" : "dense") << "\n" << told(d.program);
    RC_ASSERT(Comparison(trace, expected, 0, T).run() == kFatesNothing);
  }
}

// Rows that wait in a cache would be passed by others that leave a loop earlier.
bool refused(const Policy& policy) {
  bool leaves = false;
  for (const LoopPolicy& l : policy.loops)
    leaves = leaves || l.halting.halts() || !l.counts.empty();
  return leaves && policy.halting.halts() && policy.halting.keys == KeyFate::kFilledLater;
}

TEST(FilledLater, IsRefusedWhereRowsLeaveLoopsAndACacheIsThere) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  DepthPlan plan = testing::plan_of({{testing::loop_of({{testing::block(0, 8)}})},
                                     {testing::with_readout(testing::block(1, 8), 1)}});
  BackboneConfig backbone;
  backbone.n_head = kHeads, backbone.n_embd = 8, backbone.block_size = kBlock;
  plan.tied_heads = backbone.tie_head = false;
  const ParameterSet own(parameter_table(plan, backbone, kVocab), 1, at::kCPU, at::kDouble);
  const DepthWalk walk(plan, backbone, bind(own, plan));
  Policy policy = testing::loops({3});
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.keys = KeyFate::kFilledLater;
  policy.loops[0].halting.config.rule = HaltRule::kLatentChange;
  const Batch batch = text_batch(2, 4, 1);
  WalkCache cache(2, 4);
  WalkOptions options = walk_options(false);
  options.cache = &cache, options.skip = true;
  EXPECT_THROW(walk.run(unroll(plan, policy), batch, options), Error);
  policy.halting.keys = KeyFate::kSeen;
  EXPECT_NO_THROW(walk.run(unroll(plan, policy), batch, options));
}

// Keys of rows that have left a loop are computed on for those that have not, and no longer.
TEST(SeenKeys, OfALoopAreComputedAsLongAsSomebodySeesThem) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const PlanNode inner = {testing::loop_of({{testing::block(1, 8)}})};
  DepthPlan plan = testing::plan_of({{testing::loop_of({{testing::block(0, 8)}, inner})},
                                     {testing::with_readout(testing::block(2, 8), 0)}});
  BackboneConfig backbone;
  backbone.n_head = kHeads, backbone.n_embd = 8, backbone.block_size = kBlock;
  plan.tied_heads = backbone.tie_head = false;
  const ParameterSet own(parameter_table(plan, backbone, kVocab), 1, at::kCPU, at::kDouble);
  const DepthWalk walk(plan, backbone, bind(own, plan));
  Policy policy = testing::loops({1, 4});
  policy.loops[1].halting.config.rule = HaltRule::kLatentChange;
  policy.loops[1].halting.keys = KeyFate::kSeen;
  const DepthProgram program = unroll(plan, policy);
  WalkOptions options = walk_options(false);
  options.skip = true;
  // Of three rows the first leaves after the first iteration, the last one after the second, and
  // the middle one, which nobody but itself sees then, after the third.
  Decisions ends;
  for (int i = 0; i < 3; ++i) ends.push_back(at::full({1, 3}, false, at::TensorOptions(at::kBool)));
  for (int i = 0; i < 3; ++i) ends[size_t(i)].data_ptr<bool>()[i == 0 ? 0 : 3 - i] = true;
  options.replay_loops = &ends;
  const Trace trace = walk.run(program, text_batch(1, 3, 1), options);
  std::vector<int64_t> computed;
  for (const StepRecord& r : trace.steps) computed.push_back(r.computed);
  // The first row goes on while a later one is in the loop.
  EXPECT_EQ(computed, (std::vector<int64_t>{3, 3, 3, 2, 0, 3}));
}

// Two layers that answer, of two texts in a cache, one token of each at a time; who halts is given.
class TwoTexts {
 public:
  explicit TwoTexts(KeyFate fate = KeyFate::kFilledLater) {
    plan_ = testing::plan_of({{testing::with_readout(testing::block(0, 8), 0)},
                              {testing::with_readout(testing::block(1, 8), 1)}});
    plan_.wirings = {all_wirings().at(5)};  // keys are made of what the block before added, too
    backbone_.n_head = kHeads, backbone_.n_embd = 8, backbone_.block_size = kBlock;
    plan_.tied_heads = backbone_.tie_head = false;
    own_.emplace(parameter_table(plan_, backbone_, kVocab), 1, at::kCPU, at::kDouble);
    const at::NoGradGuard no_grad;
    unsigned seed = 1;
    for (const Parameter& p : own_->all())
      Tensor(p.tensor).add_(random_normal(p.tensor.sizes(), seed++), 0.4);
    walk_.emplace(plan_, backbone_, bind(*own_, plan_));
    policy_.halting.config.rule = HaltRule::kMax;
    policy_.halting.keys = fate;
  }

  Trace at(const Batch& batch, int64_t position, bool first_halts, bool second_halts) {
    const at::NoGradGuard no_grad;
    const Tensor halts_BT = at::full({2, 1}, first_halts, at::TensorOptions(at::kBool));
    halts_BT.data_ptr<bool>()[1] = second_halts;
    const Decisions decisions = {halts_BT, halts_BT};
    WalkOptions options = walk_options(false);
    options.cache = &cache, options.skip = true, options.replay = &decisions;
    return walk_->run(unroll(plan_, policy_), positions(batch, position, 1), options);
  }

  WalkCache cache{2, 5};

 private:
  DepthPlan plan_;
  BackboneConfig backbone_;
  Policy policy_;
  std::optional<ParameterSet> own_;
  std::optional<DepthWalk> walk_;
};

// Keys are filled in when a row of their own text needs them, and then for good.
TEST(FilledLater, ComputesNobodyWhomNobodyNeeds) {
  set_threads(1);
  TwoTexts texts;
  const Batch batch = with_positions(text_batch(2, 5, 1));
  std::vector<int64_t> computed;  // at the second step
  for (const auto& [position, first, second] : {std::tuple{0, true, true},
                                                {1, true, false},
                                                {2, true, false},
                                                {3, false, true},
                                                {4, true, false}}) {
    const Trace trace = texts.at(batch, position, first, second);
    computed.push_back(trace.steps.size() < 2 ? 0 : trace.steps[1].computed);
  }
  EXPECT_EQ(computed, (std::vector<int64_t>{0, 2, 1, 4, 2}));
}

// Later or at once, a row that goes on sees the same.
TEST(FilledLater, GivesWhatIsSeenAtOnce) {
  set_threads(1);
  TwoTexts later, at_once(KeyFate::kSeen);
  const Batch batch = with_positions(text_batch(2, 4, 1));
  for (const int64_t position : {0, 1, 2}) {
    later.at(batch, position, true, position == 1);
    at_once.at(batch, position, true, position == 1);
  }
  const Tensor one = later.at(batch, 3, false, false).end.r_RC;
  const Tensor two = at_once.at(batch, 3, false, false).end.r_RC;
  // The last row of each text.
  for (const auto& [row, same] : {std::pair{3, 0}, {int(one.size(0)) - 1, 1}})
    EXPECT_LE(gap(one[row], two[same]), 1e-12);
}

// A token that is taken back is not filled in beside the one in its place.
TEST(FilledLater, ForgetsWhatIsCutOff) {
  set_threads(1);
  const Batch batch = with_positions(text_batch(2, 3, 1));
  Batch other = batch;
  other.tokens_BT = batch.tokens_BT.clone();
  for (const int64_t i : {1, 4})
    other.tokens_BT.data_ptr<int64_t>()[i] = (batch.tokens_BT.data_ptr<int64_t>()[i] + 1) % kVocab;
  TwoTexts cut, fresh;
  cut.at(batch, 0, true, true), cut.at(batch, 1, true, true);
  for (const int64_t text : {0, 1}) cut.cache.truncate(text, 1);
  fresh.at(other, 0, true, true);
  for (const int64_t position : {1, 2}) {
    const bool halts = position == 1;
    const Trace one = cut.at(other, position, halts, halts),
                two = fresh.at(other, position, halts, halts);
    ASSERT_EQ(one.steps.size(), two.steps.size());
    EXPECT_EQ(one.steps.back().computed, two.steps.back().computed);
    EXPECT_TRUE(same_bits(one.end.r_RC, two.end.r_RC));
  }
}

// Rows that another walk computed are seen through the cache, as far as they have been computed or
// are when somebody needs them.
RC_GTEST_PROP(Fates, InPiecesThatSeeTheEarlierOnesThroughACache, ()) {
  set_threads(1);
  const at::NoGradGuard no_grad;
  const Drawn d;
  const Batch batch = with_positions(d.batch);
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  WalkOptions options = d.options();
  const auto expected = TokenReference(d.model, d.program, batch, options).run();
  options.skip = *rc::gen::arbitrary<bool>() && !refused(d.program.policy);
  WalkCache cache(B, T);
  options.cache = &cache;
  for (int64_t first = 0; first < T;) {
    const int64_t count = any(1, T - first);
    const auto part = [&](const Decisions& all) {
      Decisions own;
      for (const Tensor& x : all) own.push_back(x.narrow(1, first, count).contiguous());
      return own;
    };
    const Decisions readouts = part(d.readouts), loops = part(d.loops);
    options.replay = &readouts;
    options.replay_loops = &loops;
    const KeptTrace trace =
        run_kept(d.model.walk, d.program, positions(batch, first, count), options);
    RC_LOG() << (options.skip ? "skipping, from " : "dense, from ") << first << "\n"
             << told(d.program);
    RC_ASSERT(Comparison(trace, expected, first, count).run() == kFatesNothing);
    first += count;
  }
}

// Of what the rows carry to the end, by every weight that reaches it: counts of their own for each
// sequence, rows that leave and come back.
RC_GTEST_PROP(Fates, GradientsAgreeWithDifferences, ()) {
  set_threads(1);
  const Drawn d(2);  // deeper walks are too steep for differences
  RC_PRE(!d.model.random.cuts);
  WalkOptions options = d.options();
  options.recompute_blocks = *rc::gen::arbitrary<bool>();
  const auto f = [&] {
    Tensor sum = at::full({}, 0.0, at::TensorOptions(at::kDouble));
    const Trace trace = d.model.walk.run(d.program, d.batch, options);
    for (const StepRecord* r : trace.readouts()) sum = sum + r->reading.ln_p_R.mean();
    return sum + trace.end.r_RC.tanh().mean();
  };
  backward(f());
  const Slope slope = slope_of(f, d.model.parameters.all(), 7);
  RC_LOG() << slope.gradient << " and " << slope.difference << "\n";
  RC_ASSERT(slope.agrees());
}

}  // namespace
}  // namespace fathom::property
