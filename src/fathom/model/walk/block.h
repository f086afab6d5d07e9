// One block: a wiring evaluated over the residual stream.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/model/spec/own_settings.h"
#include "fathom/model/walk/attend.h"
#include "fathom/model/walk/carry.h"
#include "fathom/model/walk/params.h"
#include "fathom/ops/ops.h"

namespace fathom {

// Dropout of a site for values of this width; null, or no source: none.
using DropoutSource =
    std::function<std::shared_ptr<const RowDropout>(const std::string& site, int64_t width)>;

// Numbers of [0, 1) of a site, (R, width); null: the pass is none of training's.
using UniformSource =
    std::function<Tensor(const std::string& site, int64_t width, const Tensor& like)>;

// What functions know of the pass.
struct FunctionPass {
  const OwnSettings& settings;
  bool training = false;
  int64_t training_step = 0;
  UniformSource uniform = {};
};

// Who sees a block's values by their names (observer.h); null: nobody.
using SeeValue = std::function<void(std::string_view name, const Tensor& x)>;

// What a wiring's F.name computes. Every row by itself: the result must not depend on which other
// rows are there, so that it is the same when tokens have left the walk or come one at a time.
struct FunctionCall {
  const std::string& function;  // its name
  const StepSpec& step;
  int number;  // of the call among the step's calls of functions, from 0
  const Params& params;
  const std::vector<Tensor>& args;  // (R, C) each
  const DropoutSource& dropout_source;
  const UniformSource& uniform_source;
  const SeeValue& see;
  const OwnSettings& settings;  // the pass's (Policy::own): valid during the call alone
  bool training;
  int64_t training_step;  // optimiser steps of the run before the pass's; 0 outside of training

  // An own parameter by its whole name. Throws Error if there is none.
  const Tensor& own(const std::string& name) const;
  // x (R, any width) with the blocks' residual dropout, as the outputs of A and M have it; x itself
  // but in training.
  Tensor dropout(const Tensor& x) const;
  // Numbers of [0, 1), (R, width), as `like` in type and device and without gradient; undefined
  // outside of training. They are addressed by step, place, iteration, sequence and position, and
  // by `what`, which names one of several draws of the function.
  Tensor uniform(std::string_view what, int64_t width, const Tensor& like) const;
  // Shows x (R, any width) to who observes the walk, as "F.name.what".
  void record(std::string_view what, const Tensor& x) const;
};
using RowFunction = std::function<Tensor(const FunctionCall&)>;  // -> (R, C)
using RowFunctions = std::map<std::string, RowFunction>;

// What a block is computed with.
struct BlockRun {
  const Wiring& wiring;
  const StepSpec& step;
  const Params& params;
  AttentionContext& context;
  const DropoutSource& dropout;
  const BlockSettings& settings;
  const RowFunctions& functions;
  const FunctionPass& pass;
  const SeeValue& see;
  bool keep_y = false;
  Tensor pos_RC = {};  // where the wiring names it
};

// The carry after the step's block. `n_RC` is the norm of carry.r_RC that the step's norm_in makes.
// y is kept if `keep_y`.
Carry run_block(const BlockRun& run, Carry carry, const Tensor& n_RC);

// Of rows that ask nothing in the step: their keys and values, for the context's later calls, and
// of everything else only what these are made of. For wirings whose keys are made alone
// (WiringParts::keys_alone, makes_keys).
void put_keys(const BlockRun& run, const std::vector<bool>& makes_keys,
              const std::shared_ptr<const Rows>& rows, const Carry& carry, const Tensor& n_RC);

}  // namespace fathom
