// The gradients of a step, summed over the ranks: in buckets, each of which goes as soon as all its
// gradients are there, while the backward pass still computes those of the next.
//
// A gradient that no rank has stays undefined; where some have one, the others count as zero.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fathom/ops/tensor.h"
#include "fathom/parallel/ranks.h"

namespace fathom {

struct BucketSizes {
  // The first one is small: it is there early, and then the others have somebody to wait for.
  int64_t first = 1 << 20, others = 25 << 20;  // bytes of float32
};

class GradientSum {
 public:
  // Of leaves, in the order in which the forward pass meets them; the same on all ranks.
  // `ranks` outlives it.
  GradientSum(Ranks& ranks, std::vector<Tensor> parameters, Precision dtype = Precision::kFloat32,
              BucketSizes sizes = BucketSizes());
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  // Before the last backward pass of a step, in which each gradient is added to once.
  void begin();
  // After it; also where begin() was not called. Each rank has the same gradients then.
  void finish();

  int64_t buckets() const { return static_cast<int64_t>(buckets_.size()); }
  // Of the last step, how many of them went before its backward pass was over.
  int64_t buckets_ahead() const { return ahead_; }
  // Since it was made: while backward passes still ran and a bucket or more was under way, the
  // other ranks' lateness included; and waiting in finish() for the rest.
  double seconds_hidden() const { return seconds_hidden_; }
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Bucket;
  struct Watch;  // of one parameter's gradient
  void lay_out();
  void came(size_t parameter);
  void send(Bucket& bucket);
  void stop_watching();
  void count_hidden();

  Ranks& ranks_;
  std::vector<Tensor> parameters_;
  Precision dtype_;
  BucketSizes sizes_;
  std::vector<char> wanted_;  // what the buckets were laid out for: which parameters are trained
  std::vector<std::unique_ptr<Bucket>> buckets_;
  std::vector<size_t> bucket_of_;  // by parameter
  std::vector<char> came_;         // by parameter, in this step
  std::vector<Watch> watches_;
  size_t next_ = 0;  // the bucket that goes next: all ranks send them in the same order
  bool begun_ = false;
  int64_t ahead_ = 0;
  double seconds_hidden_ = 0, seconds_waited_ = 0;
};

}  // namespace fathom
