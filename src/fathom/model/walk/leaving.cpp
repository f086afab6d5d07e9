// Who is taken out of a skipping walk, and who comes back.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/model/walk/advance.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

// A mask on the processor; undefined: false.
class OnProcessor {
 public:
  explicit OnProcessor(const Tensor& mask_R) {
    if (mask_R.defined()) mask_R_ = mask_R.to(at::kCPU).contiguous();
  }
  bool operator[](int64_t row) const { return mask_R_.defined() && mask_R_.data_ptr<bool>()[row]; }

 private:
  Tensor mask_R_;
};

template <class F>
void each_row(const Rows& rows, const F& f) {
  for (size_t b = 0; b < static_cast<size_t>(rows.batch()); ++b)
    for (int64_t i = rows.offsets()[b]; i < rows.offsets()[b + 1]; ++i) f(b, i);
}

}  // namespace

// Before the end of the step's loop number `end`, or, where it has no more, before the next step.
Place Advance::place_of_end(const StepSpec& spec, size_t end) {
  if (end >= spec.ends.size()) return {static_cast<size_t>(spec.index) + 1, 0};
  return {static_cast<size_t>(spec.index), Place::kEnds + static_cast<int>(end)};
}

// Rows that wait for this place come in. True: some did.
bool Advance::join(const Place& place) {
  if (state_.waiting.empty()) return false;
  std::vector<WaitingRows> here;
  const auto first =
      std::stable_partition(state_.waiting.begin(), state_.waiting.end(),
                            [&](const WaitingRows& w) { return !(w.until == place); });
  std::move(first, state_.waiting.end(), std::back_inserter(here));
  state_.waiting.erase(first, state_.waiting.end());
  bool came = false;
  // First those that are due: others follow whoever is there.
  std::stable_partition(here.begin(), here.end(),
                        [](const WaitingRows& w) { return !w.on_demand; });
  for (WaitingRows& w : here) {
    if (w.on_demand) {
      const OnProcessor out(either(away(), state_.travel.done_R));
      std::vector<int64_t> last(static_cast<size_t>(state_.rows->batch()), -1);
      each_row(*state_.rows, [&](size_t b, int64_t i) {
        if (!out[i]) last[b] = std::max(last[b], state_.rows->positions()[size_t(i)]);
      });
      WalkState both{w.until, w.rows, std::move(w.travel), {}};
      const Tensor comes_R = at::empty({w.rows->count()}, at::TensorOptions(at::kBool));
      each_row(*w.rows, [&](size_t b, int64_t i) {
        comes_R.data_ptr<bool>()[i] = w.rows->positions()[size_t(i)] < last[b];
      });
      WaitingRows stays = both.split(comes_R.to(w.rows->token_R.device()));
      stays.until = place, stays.on_demand = true;
      w.rows = both.rows, w.travel = std::move(both.travel);
      if (stays.rows->count() > 0) state_.waiting.push_back(std::move(stays));
    }
    came = came || w.rows->count() > 0;
    state_.join(*w.rows, w.travel);
  }
  return came;
}

// Whom a walk's masks say is where, of some rows.
class Advance::Standing {
 public:
  Standing(const Rows& rows, const Travel& travel) : rows_(rows), done_(travel.done_R) {
    for (const LoopFrame& loop : travel.loops) {
      outside_.emplace_back(loop.outside_R);
      left_.emplace_back(loop.left_R);
    }
  }
  size_t loops() const { return left_.size(); }
  bool done(int64_t row) const { return done_[row]; }
  bool outside(size_t loop, int64_t row) const { return outside_[loop][row]; }
  bool left(size_t loop, int64_t row) const { return left_[loop][row]; }
  // In this loop and all around it.
  bool is_in(size_t loop, int64_t row) const {
    for (size_t l = 0; l <= loop; ++l)
      if (outside(l, row) || left(l, row)) return false;
    return true;
  }
  int64_t position(int64_t row) const { return rows_.positions()[static_cast<size_t>(row)]; }

 private:
  const Rows& rows_;
  OnProcessor done_;
  std::vector<OnProcessor> outside_, left_;
};

Advance::Need Advance::need(const Tensor& ahead_R) const {
  const Rows& rows = *state_.rows;
  const Standing here(rows, state_.travel);
  const OnProcessor ahead(ahead_R);
  const auto B = static_cast<size_t>(rows.batch());
  // With a cache later rows will come that nobody knows of.
  const bool others_will_come = options_.cache != nullptr;
  const bool later = others_will_come && halting_.keys != KeyFate::kFilledLater;
  // Of each sequence the last position that has not halted, and of each loop the last one in it
  // that computes there, be it that others see its keys.
  std::vector<int64_t> last_open(B, -1);
  std::vector<std::vector<int64_t>> last_in(here.loops(), std::vector<int64_t>(B, -1));
  const auto everybody = [&](const auto& f) {
    each_row(rows, [&](size_t b, int64_t i) { f(here, b, i); });
    for (const WaitingRows& w : state_.waiting) {
      if (w.on_demand) continue;
      const Standing there(*w.rows, w.travel);
      each_row(*w.rows, [&](size_t b, int64_t i) { f(there, b, i); });
    }
  };
  const auto reach = [](int64_t& last, int64_t position) { last = std::max(last, position); };
  everybody([&](const Standing& who, size_t b, int64_t i) {
    if (!who.done(i)) reach(last_open[b], who.position(i));
  });
  const auto is_over = [&](const Standing& who, size_t b, int64_t i) {
    const bool seen =
        halting_.keys != KeyFate::kHidden && (later || who.position(i) < last_open[b]);
    return who.done(i) && !seen;
  };
  everybody([&](const Standing& who, size_t b, int64_t i) {
    for (size_t l = 0; l < std::min(who.loops(), here.loops()); ++l)
      if (!is_over(who, b, i) && who.is_in(l, i)) reach(last_in[l][b], who.position(i));
  });
  Need need;
  need.stays_R = new_tensor({rows.count()}, at::kBool);
  each_row(rows, [&](size_t b, int64_t i) {
    Leaves leaves = is_over(here, b, i) ? Leaves{kOver, 0} : Leaves{kStays, 0};
    for (size_t l = 0; l < here.loops() && leaves.how == kStays; ++l) {
      const bool is_ahead = l + 1 == here.loops() && ahead[i];
      const bool seen = fate(state_.travel.loops[l]) != KeyFate::kHidden && !is_ahead &&
                        (others_will_come || here.position(i) < last_in[l][b]);
      if (here.left(l, i) && !seen) leaves = {kUntilClosed, l};
      if (here.outside(l, i)) leaves = {kUntilEntry, l};
    }
    need.stays_R.data_ptr<bool>()[i] = leaves.how == kStays;
    if (leaves.how != kStays) need.leaves.push_back(leaves);
  });
  return need;
}

// In a skipping walk rows that nobody needs here are taken out.
void Advance::leave_out(const StepSpec& spec, const Place& now, const Tensor& ahead_R) {
  if (!options_.skip || nobody()) return;
  const Need need = this->need(ahead_R);
  if (need.leaves.empty()) return;
  const WaitingRows gone = state_.split(need.stays_R.to(state_.rows->token_R.device()));
  // Rows that wait for one place go there together; the others are through with the walk.
  std::vector<std::pair<Place, bool>> until(need.leaves.size());
  const bool may_follow = options_.cache != nullptr && halting_.keys == KeyFate::kFilledLater &&
                          now.step < program_.steps.size();
  each_row(*gone.rows, [&](size_t b, int64_t i) {
    const Leaves& leaves = need.leaves[static_cast<size_t>(i)];
    if (leaves.how == kUntilClosed) until[size_t(i)] = {close_of(spec, leaves.loop), false};
    if (leaves.how == kUntilEntry)
      until[size_t(i)] = {
          entry_of(spec, leaves.loop, first_iteration(state_.travel.loops[leaves.loop].group, b)),
          false};
    if (leaves.how == kOver) until[size_t(i)] = {now, true};
  });
  for (size_t first = 0; first < until.size(); ++first) {
    const Leaves& leaves = need.leaves[first];
    const bool over = leaves.how == kOver;
    bool known = over && !may_follow;
    for (size_t before = 0; before < first; ++before)
      known = known || until[before] == until[first];
    if (known) continue;
    const Tensor which_R = new_tensor({gone.rows->count()}, at::kBool);
    for (size_t i = 0; i < until.size(); ++i)
      which_R.data_ptr<bool>()[i] = until[i] == until[first];
    put_aside(gone, which_R.to(gone.rows->token_R.device()), until[first].first, over, leaves.loop);
  }
}

void Advance::put_aside(const WaitingRows& gone, const Tensor& which_R, const Place& until,
                        bool over, size_t loop) {
  WaitingRows rows;
  rows.until = until;
  rows.on_demand = over;
  rows.rows = std::make_shared<const Rows>(gone.rows->select(which_R));
  if (over) rows.rows = std::make_shared<const Rows>(rows.rows->without_source());
  rows.travel = gone.travel.select(places_of(which_R));
  if (!over) {
    rows.travel.loops.resize(loop + 1);
    rows.travel.carry.x0_RC.resize(loop + 1);
  }
  state_.waiting.push_back(std::move(rows));
}

// Where the loop `frame` of the step is over.
Place Advance::close_of(const StepSpec& spec, size_t frame) const {
  const LoopPlace& in = spec.path.at(frame);
  for (size_t s = static_cast<size_t>(spec.index); s < program_.steps.size(); ++s)
    for (size_t e = 0; e < program_.steps[s].ends.size(); ++e) {
      const LoopEnd& end = program_.steps[s].ends[e];
      if (end.closes && end.place.group == in.group) return place_of_end(program_.steps[s], e);
    }
  fail("a loop does not end");
}

// Where its iteration begins.
Place Advance::entry_of(const StepSpec& spec, size_t frame, int64_t iteration) const {
  const LoopPlace in{spec.path.at(frame).group, iteration};
  for (size_t s = static_cast<size_t>(spec.index); s < program_.steps.size(); ++s) {
    const std::vector<Injection>& door = program_.steps[s].layer.door;
    for (size_t i = 0; i < door.size(); ++i)
      if (door[i].kind == Injection::kLoopInput && door[i].loop == in)
        return {s, static_cast<int>(i)};
  }
  fail(fmt::format("iteration {} of the loop of {} does not begin after step {}", iteration,
                   loop_group_names(walk_.plan_).at(static_cast<size_t>(in.group)), spec.index));
}

}  // namespace fathom
