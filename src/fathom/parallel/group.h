// What a collectives' library has to give for Ranks to speak by it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fathom/parallel/ranks.h"

namespace fathom {

class Ranks::Group {
 public:
  virtual ~Group() = default;
  // Of flat or shaped contiguous tensors on the processor, as Ranks has them.
  virtual void sum(Tensor tensor) = 0;
  virtual std::unique_ptr<PendingSum> start_sum(Tensor flat, Precision dtype) = 0;
  virtual std::vector<Tensor> gather(const Tensor& tensor) = 0;  // of the same shape, by rank
  virtual void broadcast(Tensor tensor, int from) = 0;
  virtual void await_first() = 0;
  virtual std::string meeting() const = 0;
};

// libtorch's c10d over gloo. Throws Error as Ranks does.
std::unique_ptr<Ranks::Group> gloo_group(const Launch& launch, const RanksOptions& options);
bool has_gloo();  // the program was built with it

}  // namespace fathom
