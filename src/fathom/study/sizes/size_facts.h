// How large things are in a walk, as numbers: what is measured on some rows of tokens, what follows
// from it, and its report. Torch-free. NaN stands for what is not defined or was not seen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/report/report.h"
#include "fathom/study/sizes/growth.h"
#include "fathom/study/sizes/histogram.h"

namespace fathom {

// Of rows of C channels.
struct Size {
  double rms = kUnknownSize;      // root of the mean square of all elements
  double sd = kUnknownSize;       // standard deviation over channels (C - 1), mean over rows
  double largest = kUnknownSize;  // of all magnitudes; infinite where something is not finite
};

struct NamedSize {
  std::string name;
  Size size;
};

struct NamedHistogram {
  std::string name;
  Histogram histogram;
};

// One step of the walk: a layer, or one of its turns in a loop.
struct StepSizes {
  std::string name;               // the layer's number in the plan, in loops "1.2"
  Size before, n, after;          // the carry behind the door, its norm, the carry after the block
  Size delta;                     // after - before
  std::vector<NamedSize> values;  // a, m, then what else the wiring assigns; a second a is "a.1"
  double cosine = kUnknownSize;   // of delta and before, mean over rows in which neither is zero
  // Shares of elements whose update a carry of so many bits would not notice:
  // |delta| < |before| * 2^-24 and 2^-8. An element that is added exactly nothing loses nothing.
  double lost_float32 = kUnknownSize, lost_bfloat16 = kUnknownSize;
  double effective_rank = kUnknownSize;  // of the carry after the block
  // Nats per target if the carry after the block were read by the last norm and head, and by the
  // layer's own readout where it has one.
  double lens = kUnknownSize, readout = kUnknownSize;
  // Of the mean loss of the last readout: the norm of its gradient by the carry behind the door,
  // all rows together; NaN where its graph does not reach it.
  double gradient = kUnknownSize;
  double near_zero = kUnknownSize;  // share of elements of its attentions below SizeFacts::eps
  // What the block's norm adds to the carry's variance, or mean square.
  double norm_eps = 0;
  bool centred = true;  // false: to the mean square
  // The same of the norm of the layer's readout, which reads `after`; 0: it has none.
  double read_eps = 0;
  bool read_centred = true;
  bool adds = true;                        // false: the block adds exactly nothing, in any element
  std::vector<NamedHistogram> histograms;  // of a and m, all calls together
};

struct PartGradient {
  std::string name;  // "attention.0", "token_table.0": a part's instance
  int64_t parameters = 0;
  // Of the mean loss of the last readout, by all of the part's parameters; NaN: its graph reaches
  // none
  double norm = 0;
};

struct SizeFacts {
  std::string run, source;
  int64_t rows = 0, targets = 0, ranked_rows = 0;
  double eps = 0;
  double loss = kUnknownSize;  // nats per target, of the last readout
  std::vector<StepSizes> steps;
  std::vector<PartGradient> gradients;  // empty: not asked for
};

struct Alarm {
  std::string kind;  // "overflow", "absorption", "collapse", "growth"
  std::string text;  // a sentence
};

// exp of the entropy of the singular values as shares of their sum (Roy and Vetterli, 2007): from 1
// to their number; 0 where all are 0, NaN where one is none.
double effective_rank(const std::vector<double>& singular_values);

// The RMS of the carry at depth 0 (behind the first door), 1, 2, ...
std::vector<double> sizes_by_depth(const SizeFacts& facts);

// overflow: the carry's largest magnitude is beyond float16 (65504), bfloat16 or float32.
// absorption: RMS of the carry times 2^-24 (float32) or 2^-8 (bfloat16) is more than that of what
// the block adds, unless it adds nothing. collapse: what a norm, a block's or a readout's, adds its
// eps to is less than the eps. growth: geometric, by
// 1.5 a step or more.
std::vector<Alarm> alarms_of(const SizeFacts& facts);

report::Report sizes_report(const SizeFacts& facts);
// Every number; an infinite one is "Infinity".
nlohmann::json size_numbers(const SizeFacts& facts);
// The numbers of the steps but for histograms, a line a step and value: step,value,rms,sd,largest,
// and in the line "after" the step's other numbers, called as in size_numbers().
std::string sizes_csv(const SizeFacts& facts);

}  // namespace fathom
