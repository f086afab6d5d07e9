// What a GPU does, by a library that stands in for NVIDIA's (stand_in_nvml.cpp).
#include "fathom/machine/gpu_use.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

extern "C" int stand_in_nvml_users();

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const GpuLibraries kStandIn = {"libstand-in-nvml.so", "libstand-in-nvml.so"};

std::vector<std::string> names_of(const GpuUse& use) {
  std::vector<std::string> names;
  for (const MetricValue& value : use.values()) names.push_back(value.name);
  return names;
}

TEST(GpuMeterTest, TellsUtilizationAndMemory) {
  const GpuMeter meter(0, kStandIn);
  EXPECT_EQ(meter.problem(), "");
  const GpuUse use = meter.read();
  EXPECT_DOUBLE_EQ(use.utilization, 0.38) << "not of the memory's lines";
  EXPECT_EQ(use.memory_bytes, 6e9) << "what is taken, not what is free";
  EXPECT_DOUBLE_EQ(use.memory_share, 0.25);
  EXPECT_THAT(names_of(use),
              ElementsAre("gpu/utilization", "gpu/memory_bytes", "gpu/memory_share"));
}

// The numbers are those of CUDA, which CUDA_VISIBLE_DEVICES changes.
TEST(GpuMeterTest, OfTheDeviceThatCudaNumbers) {
  EXPECT_DOUBLE_EQ(GpuMeter(1, kStandIn).read().utilization, 0.97);
}

TEST(GpuMeterTest, WhatADeviceDoesNotTellIsLeftOut) {
  const GpuMeter meter(2, kStandIn);
  EXPECT_EQ(meter.problem(), "");
  EXPECT_TRUE(std::isnan(meter.read().utilization));
  EXPECT_THAT(names_of(meter.read()), ElementsAre("gpu/memory_bytes", "gpu/memory_share"));
}

TEST(GpuMeterTest, WithoutAnAnswerSaysWhy) {
  const auto problem = [](int device, const GpuLibraries& libraries) {
    const GpuMeter meter(device, libraries);
    EXPECT_THAT(meter.read().values(), IsEmpty());
    return meter.problem();
  };
  const auto missing = HasSubstr("libno-such.so.1: cannot open shared object file");
  EXPECT_THAT(problem(0, {kStandIn.driver, "libno-such.so.1"}), missing);
  EXPECT_THAT(problem(0, {"libno-such.so.1", kStandIn.management}), missing);
  EXPECT_EQ(problem(0, {"libm.so.6", kStandIn.management}), "libm.so.6 has no cuInit");
  EXPECT_THAT(problem(3, kStandIn), HasSubstr("nvmlDeviceGetHandleByPciBusId_v2 answers 6"));
  EXPECT_THAT(problem(4, kStandIn), HasSubstr("cuDeviceGet answers 101"));
}

TEST(GpuMeterTest, EndsWhatItBegan) {
  {
    const GpuMeter one(0, kStandIn), other(1, kStandIn);
    EXPECT_EQ(stand_in_nvml_users(), 2);
  }
  const GpuMeter refused(3, kStandIn);
  EXPECT_EQ(stand_in_nvml_users(), 0);
}

}  // namespace
}  // namespace fathom
