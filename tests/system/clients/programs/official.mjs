// The official JavaScript client: typed calls, patches, a watch, an informer, object API, logs of
// what is refused. Its module is beside the copy of this file that the test makes.

import * as k8s from '@kubernetes/client-node';

const namespace = process.argv[2];
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const version = await config.makeApiClient(k8s.VersionApi).getCode();
console.log('version', version.gitVersion);

const body = { metadata: { name: 'a' }, data: { key: 'one' } };
await core.createNamespacedConfigMap({ namespace, body });
const patched = await core.patchNamespacedConfigMap(
  { name: 'a', namespace, body: { data: { other: 'two' } } },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
);
console.log('data', JSON.stringify(patched.data));
const stale = { ...body, metadata: { ...patched.metadata, resourceVersion: '1' } };
try {
  await core.replaceNamespacedConfigMap({ name: 'a', namespace, body: stale });
} catch (error) {
  console.log('refused', error.code, JSON.parse(error.body).reason);
}

const pods = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
const web = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace },
  spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: pods },
};
const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
const list = () => apps.listNamespacedDeployment({ namespace });
const informer = k8s.makeInformer(config, path, list);
const ready = new Promise((resolve, reject) => {
  informer.on('change', (found) => (found.status?.readyReplicas === 2 ? resolve() : undefined));
  informer.on('error', reject);
});
await informer.start();
await objects.create(web);
await ready;
await informer.stop();
const page = await core.listNamespacedPod({ namespace, labelSelector: 'app=web', limit: 1 });
console.log('page', page.items.length, page.metadata.remainingItemCount);

const applied = await objects.patch(
  { ...web, spec: { ...web.spec, replicas: 1 } },
  undefined,
  undefined,
  'tests',
  true,
  k8s.PatchStrategy.ServerSideApply,
);
console.log('applied', applied.spec.replicas);

await new Promise((resolve, reject) => {
  const ended = (error) => (error && error.name !== 'AbortError' ? reject(error) : undefined);
  new k8s.Watch(config)
    .watch(`/api/v1/namespaces/${namespace}/configmaps`, {}, (type, found) => {
      if (found.metadata.name === 'a' && type === 'DELETED') {
        console.log('watched', type);
        resolve();
      } else if (found.metadata.name === 'a') {
        core.deleteNamespacedConfigMap({ name: 'a', namespace });
      }
    }, ended)
    .catch(reject);
});
try {
  await core.readNamespacedConfigMap({ name: 'a', namespace });
} catch (error) {
  console.log('deleted', error.code);
}
await objects.delete(web);
process.exit(0);
