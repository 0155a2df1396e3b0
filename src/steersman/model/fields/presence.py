"""What an object of a kind holds before anybody sets anything: upstream's zero values.

Upstream compares a new object with a freshly made one, in which Go's non-pointer fields exist; so
nobody owns `spec` itself, but everybody who sets the first label owns `labels`. This table is why
our managedFields read the same. Facts from k8s.io/api (types.go): one definition a line, its
fields that exist, with their JSON. A kind's `metadata` always exists and is not listed.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

_PREFIX: Final = "io.k8s.api."

_TABLE: Final = """
admissionregistration.v1.MutatingAdmissionPolicy spec={}
admissionregistration.v1.MutatingAdmissionPolicyBinding spec={}
admissionregistration.v1.ValidatingAdmissionPolicy spec={} status={}
admissionregistration.v1.ValidatingAdmissionPolicyBinding spec={}
admissionregistration.v1alpha1.MutatingAdmissionPolicy spec={}
admissionregistration.v1alpha1.MutatingAdmissionPolicyBinding spec={}
admissionregistration.v1beta1.MutatingAdmissionPolicy spec={}
admissionregistration.v1beta1.MutatingAdmissionPolicyBinding spec={}
apiserverinternal.v1alpha1.StorageVersion spec={} status={}
apps.v1.ControllerRevision data=null revision=0
apps.v1.DaemonSet spec={} status={}
apps.v1.DaemonSetSpec selector=null template={} updateStrategy={}
apps.v1.DaemonSetStatus currentNumberScheduled=0 numberMisscheduled=0 desiredNumberScheduled=0
  numberReady=0
apps.v1.Deployment spec={} status={}
apps.v1.DeploymentSpec selector=null template={} strategy={}
apps.v1.ReplicaSet spec={} status={}
apps.v1.ReplicaSetSpec selector=null template={}
apps.v1.ReplicaSetStatus replicas=0
apps.v1.StatefulSet spec={} status={}
apps.v1.StatefulSetSpec selector=null template={} serviceName="" updateStrategy={}
apps.v1.StatefulSetStatus replicas=0 availableReplicas=0
authentication.v1.SelfSubjectReview status={}
authentication.v1.SelfSubjectReviewStatus userInfo={}
authentication.v1.TokenRequest spec={} status={}
authentication.v1.TokenRequestSpec audiences=null expirationSeconds=null boundObjectRef=null
authentication.v1.TokenRequestStatus token="" expirationTimestamp=null
authentication.v1.TokenReview spec={} status={}
authentication.v1.TokenReviewStatus user={}
authorization.v1.LocalSubjectAccessReview spec={} status={}
authorization.v1.SelfSubjectAccessReview spec={} status={}
authorization.v1.SelfSubjectRulesReview spec={} status={}
authorization.v1.SubjectAccessReview spec={} status={}
authorization.v1.SubjectAccessReviewStatus allowed=false
authorization.v1.SubjectRulesReviewStatus resourceRules=null nonResourceRules=null
  incomplete=false
autoscaling.v1.CrossVersionObjectReference kind="" name=""
autoscaling.v1.HorizontalPodAutoscaler spec={} status={}
autoscaling.v1.HorizontalPodAutoscalerSpec scaleTargetRef={} maxReplicas=0
autoscaling.v1.HorizontalPodAutoscalerStatus currentReplicas=0 desiredReplicas=0
autoscaling.v1.Scale spec={} status={}
autoscaling.v1.ScaleStatus replicas=0
autoscaling.v2.CrossVersionObjectReference kind="" name=""
autoscaling.v2.HorizontalPodAutoscaler spec={} status={}
autoscaling.v2.HorizontalPodAutoscalerSpec scaleTargetRef={} maxReplicas=0
autoscaling.v2.HorizontalPodAutoscalerStatus desiredReplicas=0 currentMetrics=null
batch.v1.CronJob spec={} status={}
batch.v1.CronJobSpec schedule="" jobTemplate={}
batch.v1.Job spec={} status={}
batch.v1.JobSpec template={}
batch.v1.JobTemplateSpec metadata={} spec={}
certificates.v1.CertificateSigningRequest spec={} status={}
certificates.v1.CertificateSigningRequestSpec request=null signerName=""
certificates.v1.ClusterTrustBundle spec={}
certificates.v1.ClusterTrustBundleSpec trustBundle=""
certificates.v1.PodCertificateRequest spec={} status={}
certificates.v1.PodCertificateRequestSpec signerName="" podName="" podUID=""
  serviceAccountName="" serviceAccountUID="" nodeName="" nodeUID="" stubPKCS10Request=null
certificates.v1beta1.ClusterTrustBundle spec={}
certificates.v1beta1.ClusterTrustBundleSpec trustBundle=""
certificates.v1beta1.PodCertificateRequest spec={} status={}
certificates.v1beta1.PodCertificateRequestSpec signerName="" podName="" podUID=""
  serviceAccountName="" serviceAccountUID="" nodeName="" nodeUID="" pkixPublicKey=null
  proofOfPossession=null stubPKCS10Request=null
coordination.v1.Lease spec={}
coordination.v1alpha2.LeaseCandidate spec={}
coordination.v1alpha2.LeaseCandidateSpec leaseName="" binaryVersion=""
coordination.v1beta1.LeaseCandidate spec={}
coordination.v1beta1.LeaseCandidateSpec leaseName="" binaryVersion=""
core.v1.Binding target={}
core.v1.DaemonEndpoint Port=0
core.v1.Event involvedObject={} source={} firstTimestamp=null lastTimestamp=null eventTime=null
  reportingComponent="" reportingInstance=""
core.v1.LimitRange spec={}
core.v1.LimitRangeSpec limits=null
core.v1.Namespace spec={} status={}
core.v1.Node spec={} status={}
core.v1.NodeDaemonEndpoints kubeletEndpoint={}
core.v1.NodeStatus daemonEndpoints={} nodeInfo={}
core.v1.NodeSystemInfo machineID="" systemUUID="" bootID="" kernelVersion="" osImage=""
  containerRuntimeVersion="" kubeletVersion="" kubeProxyVersion="" operatingSystem=""
  architecture=""
core.v1.PersistentVolume spec={} status={}
core.v1.PersistentVolumeClaim spec={} status={}
core.v1.PersistentVolumeClaimSpec resources={}
core.v1.Pod spec={} status={}
core.v1.PodSpec containers=null
core.v1.PodTemplate template={}
core.v1.PodTemplateSpec metadata={} spec={}
core.v1.ReplicationController spec={} status={}
core.v1.ReplicationControllerStatus replicas=0
core.v1.ResourceQuota spec={} status={}
core.v1.Service spec={} status={}
core.v1.ServiceStatus loadBalancer={}
discovery.v1.EndpointSlice addressType="" endpoints=null ports=null
events.v1.Event eventTime=null regarding={} deprecatedSource={} deprecatedFirstTimestamp=null
  deprecatedLastTimestamp=null
flowcontrol.v1.FlowSchema spec={} status={}
flowcontrol.v1.FlowSchemaSpec priorityLevelConfiguration={} matchingPrecedence=0
flowcontrol.v1.PriorityLevelConfiguration spec={} status={}
flowcontrol.v1.PriorityLevelConfigurationReference name=""
flowcontrol.v1.PriorityLevelConfigurationSpec type=""
lifecycle.v1alpha1.Eviction spec={} status={}
lifecycle.v1alpha1.EvictionRequest spec={} status={}
lifecycle.v1alpha1.EvictionRequestSpec target={} requester="" intent=""
lifecycle.v1alpha1.EvictionSpec target={}
networking.v1.IPAddress spec={}
networking.v1.Ingress spec={} status={}
networking.v1.IngressClass spec={}
networking.v1.IngressStatus loadBalancer={}
networking.v1.NetworkPolicy spec={}
networking.v1.NetworkPolicySpec podSelector={}
networking.v1.ServiceCIDR spec={} status={}
node.v1.RuntimeClass handler=""
policy.v1.PodDisruptionBudget spec={} status={}
policy.v1.PodDisruptionBudgetStatus disruptionsAllowed=0 currentHealthy=0 desiredHealthy=0
  expectedPods=0
rbac.v1.ClusterRole rules=null
rbac.v1.ClusterRoleBinding roleRef={}
rbac.v1.Role rules=null
rbac.v1.RoleBinding roleRef={}
rbac.v1.RoleRef apiGroup="" kind="" name=""
resource.v1.DeviceClaim requests=null
resource.v1.DeviceClass spec={}
resource.v1.DeviceTaint key="" effect=""
resource.v1.DeviceTaintRule spec={} status={}
resource.v1.DeviceTaintRuleSpec taint={}
resource.v1.ResourceClaim spec={} status={}
resource.v1.ResourceClaimSpec devices={}
resource.v1.ResourceClaimTemplate spec={}
resource.v1.ResourceClaimTemplateSpec metadata={} spec={}
resource.v1.ResourcePool name="" generation=0 resourceSliceCount=0
resource.v1.ResourceSlice spec={}
resource.v1.ResourceSliceSpec driver="" pool={}
resource.v1alpha3.DeviceTaint key="" effect=""
resource.v1alpha3.DeviceTaintRule spec={} status={}
resource.v1alpha3.DeviceTaintRuleSpec taint={}
resource.v1alpha3.ResourcePoolStatusRequest spec={}
resource.v1alpha3.ResourcePoolStatusRequestSpec driver=""
resource.v1beta1.DeviceClaim requests=null
resource.v1beta1.DeviceClass spec={}
resource.v1beta1.ResourceClaim spec={} status={}
resource.v1beta1.ResourceClaimSpec devices={}
resource.v1beta1.ResourceClaimTemplate spec={}
resource.v1beta1.ResourceClaimTemplateSpec metadata={} spec={}
resource.v1beta1.ResourcePool name="" generation=0 resourceSliceCount=0
resource.v1beta1.ResourceSlice spec={}
resource.v1beta1.ResourceSliceSpec driver="" pool={}
resource.v1beta2.DeviceClaim requests=null
resource.v1beta2.DeviceClass spec={}
resource.v1beta2.DeviceTaint key="" effect=""
resource.v1beta2.DeviceTaintRule spec={} status={}
resource.v1beta2.DeviceTaintRuleSpec taint={}
resource.v1beta2.ResourceClaim spec={} status={}
resource.v1beta2.ResourceClaimSpec devices={}
resource.v1beta2.ResourceClaimTemplate spec={}
resource.v1beta2.ResourceClaimTemplateSpec metadata={} spec={}
resource.v1beta2.ResourcePool name="" generation=0 resourceSliceCount=0
resource.v1beta2.ResourceSlice spec={}
resource.v1beta2.ResourceSliceSpec driver="" pool={}
scheduling.v1.PriorityClass value=0
scheduling.v1alpha3.CompositePodGroup spec={} status={}
scheduling.v1alpha3.CompositePodGroupSpec workloadRef=null schedulingPolicy={}
scheduling.v1alpha3.PodGroup spec={} status={}
scheduling.v1alpha3.PodGroupSpec schedulingPolicy={}
scheduling.v1alpha3.Workload spec={}
scheduling.v1alpha3.WorkloadSpec podGroupTemplates=null
scheduling.v1beta1.PodGroup spec={} status={}
scheduling.v1beta1.PodGroupSpec schedulingPolicy={}
scheduling.v1beta1.Workload spec={}
scheduling.v1beta1.WorkloadSpec podGroupTemplates=null
storage.v1.CSIDriver spec={}
storage.v1.CSINode spec={} status={}
storage.v1.CSINodeSpec drivers=null
storage.v1.CSIStorageCapacity storageClassName=""
storage.v1.StorageClass provisioner=""
storage.v1.VolumeAttachment spec={} status={}
storage.v1.VolumeAttachmentSpec attacher="" source={} nodeName=""
storage.v1.VolumeAttachmentStatus attached=false
storage.v1.VolumeAttributesClass driverName=""
storagemigration.v1.StorageVersionMigration spec={} status={}
storagemigration.v1.StorageVersionMigrationSpec resource={}
storagemigration.v1beta1.StorageVersionMigration spec={} status={}
storagemigration.v1beta1.StorageVersionMigrationSpec resource={}
"""


@cache
def fields() -> dict[str, dict[str, Any]]:
    """Returns the fields that exist from the start, by definition; `{}` stands for a struct."""
    table: dict[str, dict[str, Any]] = {}
    for line in _TABLE.replace("\n  ", " ").strip().splitlines():
        name, *pairs = line.split(" ")
        table[_PREFIX + name] = {
            key: msgspec.json.decode(value) for key, _, value in (p.partition("=") for p in pairs)
        }
    return table
