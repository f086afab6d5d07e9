// A step's block: for all rows that are there, or for those alone that do not stand still.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/constant_pad_nd.h>

#include <algorithm>
#include <utility>

#include "fathom/model/walk/advance.h"
#include "fathom/model/walk/recompute.h"

namespace fathom {

// Of some rows.
class Advance::Block {
 public:
  Block(const DepthWalk& walk, const StepSpec& spec, const Params& params, const Rows& rows,
        const WalkOptions& options, const OwnSettings& own, SeeValue see)
      : walk_(walk),
        spec_(spec),
        params_(params),
        options_(options),
        see_(std::move(see)),
        pass_{own, options.training} {
    const BackboneConfig& b = walk.backbone_;
    dropout_ = walk.dropout(rows, b.residual_dropout.value_or(b.dropout), options);
    if (walk.parts_[size_t(spec.layer.wiring)].names_pos) {
      const Tensor& table = params.position_table.at(0);
      // Where the stem teaches its tables nothing, neither do the blocks.
      pos_RC_ = embed(Tensor(), walk.plan_.stem.cut ? table.detach() : table, rows.position_R);
    }
    if (!options.training) return;
    pass_.training_step = options.random.step();
    pass_.uniform = [&rows, &options](const std::string& site, int64_t width, const Tensor& like) {
      return options.random.uniform(site, rows, width, like);
    };
  }

  Carry run(AttentionContext& attention, Carry start, const Tensor& n_RC) const {
    return run_block(with(attention), std::move(start), n_RC);
  }
  void put_keys(AttentionContext& attention, const std::shared_ptr<const Rows>& rows,
                const Carry& start, const Tensor& n_RC) const {
    const WiringParts& parts = walk_.parts_[size_t(spec_.layer.wiring)];
    fathom::put_keys(with(attention), parts.makes_keys, rows, start, n_RC);
  }
  WalkAttention attention(const Rows& rows, const Visibility& visibility) const {
    const BackboneConfig& b = walk_.backbone_;
    const double p = options_.training ? b.attn_dropout.value_or(b.dropout) : 0;
    return {rows, visibility, b.n_head, {p, &options_.random, b.block_size, &spec_}};
  }
  Tensor norm_in(const Tensor& r_RC) const {
    return norm(r_RC, params_.norm(spec_.layer.norm_in), walk_.settings_);
  }

 private:
  BlockRun with(AttentionContext& attention) const {
    return {walk_.plan_.wirings[static_cast<size_t>(spec_.layer.wiring)],
            spec_,
            params_,
            attention,
            dropout_,
            walk_.settings_,
            walk_.functions_,
            pass_,
            see_,
            walk_.keep_y_,
            pos_RC_};
  }

  const DepthWalk& walk_;
  const StepSpec& spec_;
  const Params& params_;
  const WalkOptions& options_;
  SeeValue see_;
  FunctionPass pass_;
  DropoutSource dropout_;
  Tensor pos_RC_;
};

// From behind a step's door to its readout.
void Advance::block(const StepSpec& spec, StepRecord& record) {
  const bool is_kept =
      options_.keep_functions && !walk_.parts_[size_t(spec.layer.wiring)].functions.empty();
  const bool recomputes = options_.recompute_blocks && at::GradMode::is_enabled() && !is_kept;
  // Rows that stand still in a skipping walk are there for their keys.
  if (options_.skip && !recomputes && walk_.parts_[size_t(spec.layer.wiring)].keys_alone) {
    const Tensor still_R = still();
    if (any_of(still_R)) return block_of_some(spec, still_R, record);
  }
  const std::shared_ptr<const Rows> rows = state_.rows;
  SeeValue see;
  if (options_.observe && options_.observe.blocks)
    see = [&](std::string_view name, const Tensor& x) { show(spec, name, x, *rows); };
  const Visibility visibility = {spec.layer.context, record.hidden_R, halting_.mask_self,
                                 walk_.plan_.causal};
  // What the block sees of the carry: x0 is not its business.
  Carry start{carry().r_RC, carry().y_RC, {}}, after;
  if (recomputes) {
    // By value: the backward pass comes when this walk is long over. It shows nothing, and must not
    // keep who would remember what is in the same graph.
    WalkOptions options = options_;
    options.observe = {};
    after = recomputed(
        [&walk = walk_, spec, frozen = options_.params, rows, options, visibility,
         own = program_.policy.own, seen = &see](Carry from, bool again) {
          const Params& params = frozen != nullptr ? *frozen : walk.params_;
          const Block block(walk, spec, params, *rows, options, own, again ? SeeValue() : *seen);
          WalkAttention attention = block.attention(*rows, visibility);
          const Tensor n_RC = block.norm_in(from.r_RC);
          return block.run(attention, std::move(from), n_RC);
        },
        start);
  } else {
    const Block block(walk_, spec, params_, *rows, options_, program_.policy.own, std::move(see));
    const Tensor n_RC = norms_.of(start.r_RC, spec.layer.norm_in, params_);
    if (options_.cache != nullptr) {
      CachedAttention attention(*rows, options_.cache->keys, visibility, walk_.backbone_.n_head);
      after = block.run(attention, std::move(start), n_RC);
    } else {
      WalkAttention attention = block.attention(*rows, visibility);
      after = block.run(attention, std::move(start), n_RC);
    }
  }
  carry().r_RC = after.r_RC;
  carry().y_RC = after.y_RC;
  record.computed = rows->count();
  record.met = pairs(spec, *rows, nullptr);
}

// Keys and values of those that stand still, where somebody sees them, and the block of the others.
void Advance::block_of_some(const StepSpec& spec, const Tensor& still_R, StepRecord& record) {
  const Tensor moves_R = none_of(still_R);
  const Tensor moving = places_of(moves_R), stands = places_of(still_R);
  const auto rows = std::make_shared<const Rows>(state_.rows->select(moves_R));
  const auto standing = std::make_shared<const Rows>(state_.rows->select(still_R));
  SeeValue see;
  if (options_.observe && options_.observe.blocks)
    see = [&](std::string_view name, const Tensor& x) { show(spec, name, x, *rows); };
  const OwnSettings& own = program_.policy.own;
  const Block block(walk_, spec, params_, *rows, options_, own, std::move(see));
  const Visibility visibility = {spec.layer.context, {}, halting_.mask_self, walk_.plan_.causal};
  const Carry start{carry().r_RC, carry().y_RC, {}};
  const Tensor n_RC = norms_.of(start.r_RC, spec.layer.norm_in, params_);
  const auto run = [&](AttentionContext& attention) {
    Block(walk_, spec, params_, *standing, options_, own, {})
        .put_keys(attention, standing, start.select(stands), take_rows(n_RC, stands));
    if (rows->count() == 0) return;
    const Carry after = block.run(attention, start.select(moving), take_rows(n_RC, moving));
    const auto put = [&](const Tensor& into_RC, const Tensor& x_RC) {
      return put_rows(into_RC, moving, x_RC.to(into_RC.scalar_type()));
    };
    carry().r_RC = put(start.r_RC, after.r_RC);
    if (after.y_RC.defined()) carry().y_RC = put(y_or_zeros(start.y_RC, start.r_RC), after.y_RC);
  };
  if (options_.cache != nullptr) {
    CachedAttention attention(*rows, options_.cache->keys, visibility, walk_.backbone_.n_head);
    if (keys_go_ahead(spec)) attention.put_ahead(later_slots(spec));
    run(attention);
  } else {
    WalkAttention attention = block.attention(*rows, visibility);
    run(attention);
  }
  record.computed = rows->count();
  record.keys_only = standing->count();
  record.met = pairs(spec, *rows, standing.get());
}

// Of the rows with the keys of their sequences at the step's first attention: their own, those of
// `beside` (null: none), or all that a cache has; not more than the step's window.
double Advance::pairs(const StepSpec& spec, const Rows& rows, const Rows* beside) const {
  const bool cached = options_.cache != nullptr && spec.cache_slot < options_.cache->keys.slots();
  double pairs = 0;
  for (size_t b = 0; b < static_cast<size_t>(rows.batch()); ++b) {
    const auto count = [&](const Rows& of) { return of.offsets()[b + 1] - of.offsets()[b]; };
    int64_t keys = cached ? options_.cache->keys.keys(spec.cache_slot, int64_t(b))
                          : count(rows) + (beside == nullptr ? 0 : count(*beside));
    if (spec.layer.context) keys = std::min(keys, *spec.layer.context + 1);
    pairs += static_cast<double>(count(rows)) * static_cast<double>(keys);
  }
  return pairs;
}

// Do rows that have left the step's loop have the same keys in all its later iterations? Then they
// are put once, in a cache, where all of these look, and the rows need not be there. In loops
// within loops others would look, by their own iterations.
bool Advance::keys_go_ahead(const StepSpec& spec) {
  if (!options_.skip || options_.cache == nullptr || spec.path.size() != 1) return false;
  const LoopFrame& frame = state_.travel.loops.back();
  if (fate(frame) != KeyFate::kFrozen || frame.outside_R.defined()) return false;
  if (halting_.keys == KeyFate::kFrozen && state_.travel.done_R.defined()) return false;
  const auto [known, is_new] = same_keys_.emplace(frame.group, true);
  if (!is_new) return known->second;
  const auto same_each_time = [&](const StepSpec& s) {
    const WiringParts& parts = walk_.parts_[size_t(s.layer.wiring)];
    // What an experiment's function knows of its step is the experiment's.
    return s.path.size() == 1 && parts.keys_alone && parts.functions.empty() &&
           std::none_of(s.layer.door.begin(), s.layer.door.end(), [](const Injection& i) {
             return i.kind == Injection::kLoopSignal || i.kind == Injection::kNoise;
           });
  };
  for (const StepSpec& s : program_.steps)
    if (!s.path.empty() && s.path.front().group == frame.group)
      known->second = known->second && same_each_time(s);
  return known->second;
}

// Of the step's layer in later iterations, as distances from its own; 0 is not among them.
std::vector<int> Advance::later_slots(const StepSpec& spec) const {
  std::vector<int> slots;
  for (size_t i = static_cast<size_t>(spec.index) + 1; i < program_.steps.size(); ++i) {
    const StepSpec& later = program_.steps[i];
    if (later.path.empty() || later.path.front().group != spec.path.front().group) break;
    const int distance = later.cache_slot - spec.cache_slot;
    const bool is_known = std::find(slots.begin(), slots.end(), distance) != slots.end();
    if (later.place == spec.place && distance != 0 && !is_known) slots.push_back(distance);
  }
  return slots;
}

// Rows that are in the loop, or in the walk, no longer keep the state that they had, but where
// their keys go on as if they were.
Tensor Advance::still() const {
  Tensor still_R = halting_.keys == KeyFate::kFrozen ? state_.travel.done_R : Tensor();
  for (const LoopFrame& loop : state_.travel.loops) {
    still_R = either(still_R, loop.outside_R);
    const bool goes_on = fate(loop) == KeyFate::kSeen || fate(loop) == KeyFate::kFilledLater;
    if (!goes_on) still_R = either(still_R, loop.left_R);
  }
  return still_R;
}

void Advance::stand_still() {
  const Tensor still_R = still();
  if (!still_R.defined()) return;
  const int64_t width = carry().r_RC.size(1);
  const auto widened = [&](const Tensor& x_RC) {
    return x_RC.size(1) == width ? x_RC : at::constant_pad_nd(x_RC, {0, width - x_RC.size(1)}, 0);
  };
  const Tensor &r_RC = state_.travel.door_r_RC, &y_RC = state_.travel.door_y_RC;
  carry().r_RC = where_rows(still_R, widened(r_RC), carry().r_RC);
  if (carry().y_RC.defined())
    carry().y_RC = where_rows(still_R, widened(y_or_zeros(y_RC, r_RC)), carry().y_RC);
}

}  // namespace fathom
