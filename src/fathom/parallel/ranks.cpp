#include "fathom/parallel/ranks.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace fathom {

#ifdef USE_C10D_GLOO
namespace {

using std::chrono::milliseconds;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

constexpr milliseconds kTick{1000};
// How long one that has seen a failure waits for the others to say that they have seen it too.
constexpr milliseconds kAnswer{3000};

c10::intrusive_ptr<c10d::Store> store_of(const Launch& launch, const RanksOptions& options) {
  if (!launch.file.empty())
    return c10::make_intrusive<c10d::FileStore>(launch.file, launch.size);
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(launch.port);
  store.isServer = launch.rank == 0 && !launch.store_is_there;
  store.timeout = options.start_timeout;
  if (!launch.store_is_there) store.numWorkers = static_cast<size_t>(launch.size);
  // Several servers of one process are told apart by their ports.
  store.multiTenant = true;
  return c10::make_intrusive<c10d::TCPStore>(launch.address, store);
}

// The first line of what the library says, which goes on with a trace of calls.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::string rank_names(const std::vector<int>& ranks) {
  std::vector<std::string> names;
  for (const int rank : ranks) names.push_back(std::to_string(rank));
  return (ranks.size() == 1 ? "rank " : "ranks ") + join(names, ", ");
}

}  // namespace

class Ranks::Group {
 public:
  Group(const Launch& launch, const RanksOptions& options)
      : rank_(launch.rank), size_(launch.size), options_(options) {
    try {
      store_ = c10::make_intrusive<c10d::PrefixStore>(fmt::format("fathom_{}", launch.restarts),
                                                      store_of(launch, options));
      auto gloo = c10d::ProcessGroupGloo::Options::create(options.start_timeout);
      gloo->devices.push_back(
          c10d::ProcessGroupGloo::createDeviceForHostname(own_address(launch)));
      gloo->threads = 2;
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, rank_, size_, gloo);
      gloo->timeout = options.timeout;
      run([&] { return group_->barrier(barrier_options(options.start_timeout)); });
      // What is asked of the store from now on has an answer in this time.
      store_->set(fmt::format("there/{}", rank_), {1});
      store_->wait({fmt::format("there/{}", rank_)}, kAnswer);
    } catch (const std::exception& e) {
      fail(fmt::format("rank {} of {} did not meet the others at {} within {} s: {}", rank_, size_,
                       launch.file.empty() ? fmt::format("{}:{}", launch.address, launch.port)
                                           : launch.file,
                       options.start_timeout.count() / 1000, first_line(e.what())),
           "all ranks are started with the same command, and reach rank 0's machine at that port");
    }
  }

  // What is under way when one is lost would be waited for.
  ~Group() {
    if (failed_) static_cast<void>(group_.release());
  }

  static c10d::BarrierOptions barrier_options(milliseconds timeout) {
    c10d::BarrierOptions options;
    options.timeout = timeout;
    return options;
  }

  template <class Begin>
  WorkPtr begin(Begin&& begin) {
    if (failed_) fail("a call to the other ranks after one of them was lost");
    try {
      return begin();
    } catch (const std::exception& e) {
      lost(e.what());
    }
  }

  // In parts of a second: one that others have seen fail would be waited for in vain.
  void wait(const WorkPtr& work) {
    for (;;) {
      try {
        work->wait(kTick);
        return;
      } catch (const std::exception& e) {
        if (work->isCompleted() && !work->isSuccess()) lost(e.what());
      }
      if (work->isCompleted()) return;
      if (options_.trouble && !options_.trouble().empty()) lost("");
      if (count("failures") > 0) lost("");
    }
  }

  template <class Begin>
  void run(Begin&& start) {
    wait(begin(std::forward<Begin>(start)));
  }

  c10d::ProcessGroupGloo& library() { return *group_; }
  int size() const { return size_; }

  void sum(Tensor tensor) {
    std::vector<Tensor> tensors = {std::move(tensor)};
    run([&] { return group_->allreduce(tensors); });
  }

  // Of tensors of the same shape.
  std::vector<Tensor> gather(const Tensor& tensor) {
    std::vector<Tensor> given = {tensor};
    std::vector<std::vector<Tensor>> all(1);
    for (int r = 0; r < size_; ++r) all[0].push_back(at::empty_like(tensor));
    run([&] { return group_->allgather(all, given); });
    return all[0];
  }

  void broadcast(Tensor tensor, int from) {
    c10d::BroadcastOptions options;
    options.rootRank = from;
    std::vector<Tensor> tensors = {std::move(tensor)};
    run([&] { return group_->broadcast(tensors, options); });
  }

 private:
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
    fail(fmt::format("rank {}: {}", rank_, known.empty() ? what : known),
         "what went wrong is in that rank's own words, if it had any; go on with --resume, from the "
         "last checkpoint");
  }

  // Each of those that are there comes here, for they see it too: whoever does not is lost.
  [[noreturn]] void lost(const std::string& why) {
    failed_ = true;
    count(fmt::format("failed/{}", rank_), 1);
    count("failures", 1);
    std::vector<int> silent;
    for (milliseconds waited{0}; waited < kAnswer; waited += milliseconds(100)) {
      silent.clear();
      for (int r = 0; r < size_; ++r)
        if (count(fmt::format("failed/{}", r)) == 0) silent.push_back(r);
      if (silent.empty()) break;
      std::this_thread::sleep_for(milliseconds(100));
    }
    if (silent.empty()) end("the connection to the other ranks broke: " + first_line(why));
    end(rank_names(silent) + (silent.size() == 1 ? " no longer answers" : " no longer answer"));
  }

  int rank_, size_;
  RanksOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  bool failed_ = false;
};

namespace {

class PlainSum : public PendingSum {
 public:
  PlainSum(std::function<void(const WorkPtr&)> wait, WorkPtr work)
      : wait_(std::move(wait)), work_(std::move(work)) {}
  void wait() override { wait_(work_); }

 private:
  std::function<void(const WorkPtr&)> wait_;
  WorkPtr work_;
};

}  // namespace

bool Ranks::are_built_in() {
  return true;
}
#else
class Ranks::Group {
 public:
  Group(const Launch&, const RanksOptions&) {
    misuse("this fathom was built without the library by which ranks talk",
           "install libgloo-dev and build again, or train with one process");
  }
};

bool Ranks::are_built_in() {
  return false;
}
#endif
