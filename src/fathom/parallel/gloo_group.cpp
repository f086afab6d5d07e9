// The collectives of libtorch's c10d.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/parallel/group.h"

#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "fathom/parallel/meeting.h"
#include "fathom/parallel/meeting_store.h"
#endif

namespace fathom {

#ifdef USE_C10D_GLOO
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

constexpr milliseconds kTick{1000};

class GlooGroup : public Ranks::Group {
 public:
  GlooGroup(const Launch& launch, const RanksOptions& options)
      : rank_(launch.rank), size_(launch.size), options_(options) {
    try {
      Wait wait(options.start());
      const std::string own = own_address(launch, wait);
      // All are there before connections are made, which wait no longer than any other call.
      MeetingStore met = meeting_store(launch, options, wait);
      store_ = std::move(met.store);
      meeting_ = std::move(met.meeting);
      limit_answers();
      const auto gloo = c10d::ProcessGroupGloo::Options::create(options.timeout);
      gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(own));
      gloo->threads = 2;  // of which one sends a bucket while the other sums the next
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, rank_, size_, gloo);
      limit_answers();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      fail_to_meet(launch, options, first_line_of(e.what()));
    }
  }

  // What was under way when a rank was lost would be waited for: it is left to the process's end.
  ~GlooGroup() override {
    if (failed_) static_cast<void>(group_.release());
  }

  template <class Begin>
  WorkPtr begin(const Begin& begin) {
    if (failed_) fail("the other ranks are not asked after one of them was lost");
    try {
      return begin();
    } catch (const std::exception& e) {
      lost(e.what());
    }
  }

  // A second at a time: what others have seen fail would be waited for in vain.
  void wait(const WorkPtr& work) {
    for (milliseconds waited{0}; waited <= options_.timeout; waited += kTick) {
      try {
        work->wait(kTick);
        return;
      } catch (const std::exception& e) {
        if (work->isCompleted()) {
          if (work->isSuccess()) return;
          lost(e.what());
        }
      }
      if (is_lost()) lost("");
    }
    lost("");
  }

  template <class Begin>
  void run(const Begin& start) {
    wait(begin(start));
  }

  void sum(Tensor tensor) override {
    std::vector<Tensor> tensors = {std::move(tensor)};
    run([&] { return group_->allreduce(tensors); });
  }

  std::unique_ptr<PendingSum> start_sum(Tensor flat, Precision dtype) override;

  std::vector<Tensor> gather(const Tensor& tensor) override {
    std::vector<Tensor> given = {tensor};
    std::vector<std::vector<Tensor>> all(1);
    for (int r = 0; r < size_; ++r) all[0].push_back(at::empty_like(tensor));
    run([&] { return group_->allgather(all, given); });
    return all[0];
  }

  void broadcast(Tensor tensor, int from) override {
    c10d::BroadcastOptions options;
    options.rootRank = from;
    std::vector<Tensor> tensors = {std::move(tensor)};
    run([&] { return group_->broadcast(tensors, options); });
  }

  // By the store, which is asked, for a call that waited would run out of time.
  void await_first() override {
    if (failed_) fail("the other ranks are not asked after one of them was lost");
    ++awaited_;
    if (rank_ == 0) {
      count("awaited", 1);
      return;
    }
    const Clock::time_point until = Clock::now() + options_.patience;
    Clock::time_point look = Clock::now() + kTick;
    while (count("awaited") < awaited_) {
      std::this_thread::sleep_for(milliseconds(2));
      const Clock::time_point now = Clock::now();
      if (now > until) lost("");
      if (now < look) continue;
      if (is_lost()) lost("");
      look = now + kTick;
    }
  }

  WorkPtr to_each(Tensor& out, Tensor& in) {
    std::vector<int64_t> equal;
    return begin([&] { return group_->alltoall_base(out, in, equal, equal); });
  }

  std::string meeting() const override { return meeting_; }

  int size() const { return size_; }

 private:
  // What is asked of the store from now on has an answer in this time.
  void limit_answers() { store_->wait({key_of_presence(rank_)}, options_.timeout / 2); }

  // Somebody has seen that one is.
  bool is_lost() {
    return (options_.trouble && !options_.trouble().empty()) || count("failures") > 0;
  }

  // A counter of the store. Where that does not answer, the process that has it is lost.
  int64_t count(const std::string& name, int64_t more = 0) {
    try {
      return store_->add(name, more);
    } catch (const std::exception&) {
      end("rank 0 no longer answers");
    }
  }

  [[noreturn]] void end(const std::string& what) {
    failed_ = true;
    const std::string known = options_.trouble ? options_.trouble() : "";
    fail(known.empty() ? what : known,
         "where that rank had words of its own they say why; go on with --resume from the last "
         "checkpoint, where there is one");
  }

  // All of those that are there come here, for they see it too: whoever does not is lost.
  [[noreturn]] void lost(const std::string& why) {
    failed_ = true;
    count(fmt::format("failed/{}", rank_), 1);
    count("failures", 1);
    std::vector<std::string> silent;
    const Clock::time_point until = Clock::now() + options_.answer;
    while (Clock::now() < until) {
      silent.clear();
      for (int r = 0; r < size_; ++r)
        if (count(fmt::format("failed/{}", r)) == 0) silent.push_back(std::to_string(r));
      if (silent.empty()) break;
      std::this_thread::sleep_for(milliseconds(100));
    }
    if (silent.empty()) end("the connection to the other ranks broke: " + first_line_of(why));
    end(silent.size() == 1 ? "rank " + silent.front() + " no longer answers"
                           : "ranks " + join(silent, ", ") + " no longer answer");
  }

  int rank_, size_;
  RanksOptions options_;
  std::string meeting_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  int64_t awaited_ = 0;  // await_first() calls
  bool failed_ = false;
};

// When a call was complete, of its own thread, which outlives nobody's interest.
class Arrival {
 public:
  explicit Arrival(const WorkPtr& work) {
    work->getFuture()->addCallback(
        [at = at_](c10::ivalue::Future&) { *at = Clock::now().time_since_epoch().count(); });
  }
  std::optional<Clock::time_point> time() const {
    const Clock::rep at = *at_;
    if (at == 0) return std::nullopt;
    return Clock::time_point(Clock::duration(at));
  }

 private:
  std::shared_ptr<std::atomic<Clock::rep>> at_ = std::make_shared<std::atomic<Clock::rep>>(0);
};

class WholeSum : public PendingSum {
 public:
  WholeSum(GlooGroup& group, WorkPtr work)
      : group_(group), work_(std::move(work)), arrival_(work_) {}
  void wait() override { group_.wait(work_); }
  std::optional<Clock::time_point> arrived() const override { return arrival_.time(); }

 private:
  GlooGroup& group_;
  WorkPtr work_;
  Arrival arrival_;
};

// gloo sums no bfloat16: each rank is sent its part of all the others' numbers, sums them in
// float32, and tells the others.
class RoundedSum : public PendingSum {
 public:
  RoundedSum(GlooGroup& group, Tensor flat) : group_(group), flat_(std::move(flat)) {
    const at::NoGradGuard no_grad;
    const int64_t size = group.size(), part = (flat_.numel() + size - 1) / size;
    given_ = at::zeros({size * part}, at::TensorOptions(at::kBFloat16));
    given_.narrow(0, 0, flat_.numel()).copy_(flat_);
    given_ = given_.view({size, part});
    taken_ = at::empty_like(given_);
    given_bytes_ = given_.view(at::kByte);
    taken_bytes_ = taken_.view(at::kByte);
    work_ = group.to_each(taken_bytes_, given_bytes_);
    arrival_.emplace(work_);
  }
  void wait() override {
    const at::NoGradGuard no_grad;
    group_.wait(work_);
    const Tensor own = taken_.to(at::kFloat).sum(0).to(at::kBFloat16);
    const std::vector<Tensor> parts = group_.gather(own.view(at::kByte));
    const int64_t part = own.numel();
    for (size_t r = 0; r < parts.size(); ++r) {
      const int64_t first = static_cast<int64_t>(r) * part;
      const int64_t count = std::min(part, flat_.numel() - first);
      if (count > 0)
        flat_.narrow(0, first, count).copy_(parts[r].view(at::kBFloat16).narrow(0, 0, count));
    }
  }
  std::optional<Clock::time_point> arrived() const override { return arrival_->time(); }

 private:
  GlooGroup& group_;
  Tensor flat_, given_, taken_, given_bytes_, taken_bytes_;
  WorkPtr work_;
  std::optional<Arrival> arrival_;
};

std::unique_ptr<PendingSum> GlooGroup::start_sum(Tensor flat, Precision dtype) {
  if (dtype == Precision::kBFloat16) return std::make_unique<RoundedSum>(*this, std::move(flat));
  std::vector<Tensor> tensors = {std::move(flat)};
  return std::make_unique<WholeSum>(*this, begin([&] { return group_->allreduce(tensors); }));
}

}  // namespace

std::unique_ptr<Ranks::Group> gloo_group(const Launch& launch, const RanksOptions& options) {
  return std::make_unique<GlooGroup>(launch, options);
}

bool has_gloo() {
  return true;
}
#else
std::unique_ptr<Ranks::Group> gloo_group(const Launch& /*launch*/,
                                         const RanksOptions& /*options*/) {
  misuse("this fathom was built without the library by which ranks talk",
         "install libgloo-dev and build again, or train with one process");
}

bool has_gloo() {
  return false;
}
#endif

}  // namespace fathom
