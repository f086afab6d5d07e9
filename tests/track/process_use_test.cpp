#include "fathom/track/process_use.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include "track/support.h"

namespace fathom {
namespace {

using std::chrono::steady_clock;

double since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Takes so many processor seconds, however long they last on a busy machine.
void burn(double seconds) {
  const double end = thread_seconds() + seconds;
  while (thread_seconds() < end) {
  }
}

// Memory of its own that is resident, and gone with the object.
class Pages {
 public:
  explicit Pages(size_t size)
      : size_(size),
        data_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (data_ == MAP_FAILED) std::abort();
    std::memset(data_, 1, size);
  }
  ~Pages() { ::munmap(data_, size_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

 private:
  size_t size_;
  void* data_;
};

TEST(ProcessMeterTest, CountsProcessorSecondsOfAllThreads) {
  const auto before = steady_clock::now();
  ProcessMeter meter;
  const auto after = steady_clock::now();
  std::thread other([] { burn(0.1); });
  burn(0.1);
  other.join();
  const double shortest = since(after);
  const double share = meter.read().cpu_share;
  const double longest = since(before);
  EXPECT_GE(share * longest, 0.19);
  EXPECT_LE(share * shortest, 0.4);
}

TEST(ProcessMeterTest, EachReadingBeginsAnew) {
  ProcessMeter meter;
  burn(0.1);
  const double busy = meter.read().cpu_share;
  const auto start = steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const double idle = meter.read().cpu_share;
  EXPECT_GT(busy, 0);
  EXPECT_LT(idle * since(start), 0.05) << "not the 0.1 s from before";
  EXPECT_GE(meter.read().cpu_share, 0) << "at once";
}

TEST(ProcessMeterTest, SeesMemoryComeAndGo) {
  constexpr double kSize = 64 << 20;
  ProcessMeter meter;
  const ProcessUse before = meter.read();
  EXPECT_GT(before.rss_bytes, 1 << 20);
  EXPECT_GE(before.peak_rss_bytes, before.rss_bytes);
  ProcessUse during;
  {
    const Pages pages(static_cast<size_t>(kSize));
    during = meter.read();
  }
  const ProcessUse after = meter.read();
  EXPECT_NEAR(during.rss_bytes - before.rss_bytes, kSize, kSize / 8);
  EXPECT_NEAR(during.rss_bytes - after.rss_bytes, kSize, kSize / 8);
  EXPECT_GE(during.peak_rss_bytes, during.rss_bytes);
  EXPECT_GE(after.peak_rss_bytes, during.rss_bytes);
}

TEST(ProcessMeterTest, ReadsTheKernelsUnits) {
  const TempFolder folder;
  const std::string path = folder / "status";
  write_file(path,
             "Name:\tVmRSS: 9 kB\nVmPeak:\t  9000 kB\nVmHWM:\t   300 kB\nVmRSS:\t   200 kB\n"
             "RssAnon:\t   100 kB\n");
  const ProcessUse use = ProcessMeter(path).read();
  EXPECT_EQ(use.rss_bytes, 200 * 1024);
  EXPECT_EQ(use.peak_rss_bytes, 300 * 1024);
}

TEST(ProcessMeterTest, WorksWithoutProc) {
  const TempFolder folder;
  write_file(folder / "broken", std::string("VmRSS:\nVmHWM: x\n\0\xFF", 18));
  for (const std::string& path : {folder / "none", folder.path(), folder / "broken"}) {
    ProcessMeter meter(path);
    burn(0.02);
    const ProcessUse use = meter.read();
    EXPECT_TRUE(std::isnan(use.rss_bytes)) << "unknown is not zero";
    std::vector<std::string> names;
    for (const MetricValue& value : use.values()) names.push_back(value.name);
    EXPECT_EQ(names, (std::vector<std::string>{"process/cpu_share", "process/peak_rss_bytes"}));
    EXPECT_GT(use.peak_rss_bytes, 1 << 20) << "getrusage knows it too";
    EXPECT_GT(use.cpu_share, 0);
  }
}

}  // namespace
}  // namespace fathom
